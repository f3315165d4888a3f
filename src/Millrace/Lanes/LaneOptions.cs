using System.Text.RegularExpressions;
using Millrace.Streams;

namespace Millrace;

/// <summary>The priority lanes of a stream, see <see cref="MillraceBuilder.AddLanes"/>.</summary>
public sealed partial class LaneOptions
{
    private const int MaxLanes = 16;
    private const int MaxWeight = 1_000;

    private readonly Dictionary<string, int> _lanes = new(StringComparer.Ordinal);

    /// <summary>The weight of messages that are published without a lane, 1 to 1,000. Default 1.</summary>
    public int Weight { get; set; } = 1;

    /// <summary>
    /// How long a lane may wait for its next handler while others get theirs; then its first message is next, whatever the weights say. 1 ms or more.
    /// Default 10 s. Of 20 messages one at most begins for that reason, so that weights hold where handlers are slow, or all lanes have a backlog.
    /// </summary>
    public TimeSpan MaxWait { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Adds a lane.</summary>
    /// <param name="name">1 to 32 of the characters a-z, 0-9 and the hyphen.</param>
    /// <param name="weight">
    /// How many messages of it begin for each one of a lane of weight 1, while messages of both wait. 1 to 1,000.
    /// </param>
    public LaneOptions Add(string name, int weight)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!LaneName().IsMatch(name))
            throw new ArgumentException($"'{name}' is no name of a lane: use 1 to 32 of a-z, 0-9 and the hyphen.", nameof(name));
        if (!_lanes.TryAdd(name, weight))
            throw new ArgumentException($"There is a lane '{name}' already.", nameof(name));
        return this;
    }

    internal IReadOnlyDictionary<string, int> Lanes => _lanes;

    internal void Check(string stream, List<string> errors)
    {
        foreach (var (name, weight) in _lanes.Append(new("", Weight)))
        {
            if (weight is < 1 or > MaxWeight)
                errors.Add($"Lanes of '{stream}': the weight of '{name}' is {weight}; it must be 1 to {MaxWeight}.");
        }

        if (_lanes.Count is 0 or > MaxLanes)
            errors.Add($"Lanes of '{stream}': there are {_lanes.Count}; a stream has 1 to {MaxLanes} besides itself.");
        if (MaxWait < TimeSpan.FromMilliseconds(1) || MaxWait > StreamLimits.MaxDuration)
            errors.Add($"Lanes of '{stream}': MaxWait is {MaxWait}; it must be 1 ms to {StreamLimits.MaxDuration}.");
    }

    [GeneratedRegex("^[a-z0-9-]{1,32}$")]
    private static partial Regex LaneName();
}
