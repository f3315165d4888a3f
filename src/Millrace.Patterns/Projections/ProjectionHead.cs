using System.Security.Cryptography;
using System.Text.Json.Serialization;

namespace Millrace.Projections;

/// <summary>The plan of a projection, as a document. Whoever changes it makes every commit conflict that was prepared under the old one.</summary>
internal sealed record ProjectionHead
{
    /// <summary>Who runs it: a process and a number nobody else has; <see langword="null"/>: nobody.</summary>
    public string? Owner { get; init; }

    /// <summary>The generation that queries read.</summary>
    public required Generation Live { get; init; }

    /// <summary>The generation that is to take its place.</summary>
    public Generation? Building { get; init; }

    /// <summary>Generations whose data are to be removed.</summary>
    public IReadOnlyList<int> Retired { get; init; } = [];

    public bool IsPaused { get; init; }

    /// <summary>An entry to pass over whatever the options say.</summary>
    public string? Skip { get; init; }

    /// <summary>Where losses are accepted: a generation and its position each.</summary>
    public IReadOnlyList<string> AcceptedLosses { get; init; } = [];

    /// <summary>The version of the newest generation: older processes keep off.</summary>
    [JsonIgnore]
    public int Version => Building?.Version ?? Live.Version;

    /// <summary>A plan where there is none.</summary>
    public static ProjectionHead First(int version) => new() { Live = new(DrawNumber(), version) };

    /// <summary>With a rebuild in a shape, in place of one that was under way.</summary>
    public ProjectionHead Rebuild(int version)
    {
        var head = WithoutBuilding();
        var number = DrawNumber();
        while (number == Live.Number || head.Retired.Contains(number))
            number = DrawNumber();
        return head with { Building = new(number, version) };
    }

    /// <summary>
    /// Numbers are drawn by lot, for rebuilds as for the first one: the store may have lost the plan, or no more than its last change, while the data of the
    /// generations it spoke of are still in a database, or in the hands of a process that was slow. A number counted from the last one would meet them.
    /// </summary>
    private static int DrawNumber() => RandomNumberGenerator.GetInt32(1, int.MaxValue);

    public ProjectionHead WithoutBuilding() => Building is { } building ? this with { Building = null, Retired = [.. Retired, building.Number] } : this;

    /// <summary>With the rebuilt generation for queries.</summary>
    public ProjectionHead Swapped() => this with { Live = Building!, Building = null, Retired = [.. Retired, Live.Number] };

    public ProjectionHead WithFailure(int generation, string? failure) => this with
    {
        Live = Live.Number == generation ? Live with { Failure = failure } : Live,
        Building = Building?.Number == generation ? Building with { Failure = failure } : Building,
    };

    /// <summary>To be tried again.</summary>
    public ProjectionHead WithoutFailures() => this with
    {
        Live = Live with { Failure = null },
        Building = Building is null ? null : Building with { Failure = null },
    };
}

/// <param name="Number">Its number.</param>
/// <param name="Version">The version of its shape.</param>
/// <param name="Failure">Why it has stopped, or <see langword="null"/>.</param>
internal sealed record Generation(int Number, int Version, string? Failure = null);

[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ProjectionHead))]
internal sealed partial class ProjectionJson : JsonSerializerContext;
