using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>Settings of the event store.</summary>
public sealed class EventStoreOptions
{
    private readonly HashSet<string> _categories = new(StringComparer.Ordinal);

    /// <summary>
    /// For how long the store remembers <see cref="AppendOptions.CommandId"/>. Default: a day. At least a second, at most
    /// <see cref="StreamLimits.MaxDuration"/>.
    /// </summary>
    public TimeSpan CommandWindow { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How often an append or a decision begins anew when others append meanwhile, or the store does not answer. Default: 50. At least 1.</summary>
    public int MaxTries { get; set; } = 50;

    /// <summary>How many events a conflict tells at most. Default: 1,000. At least 1.</summary>
    public int MaxBetween { get; set; } = 1_000;

    /// <summary>The stream whose state documents are the keys of <see cref="PersonalDataVault"/>; it has no entries. Default: <c>personal-data</c>.</summary>
    public string PersonalData { get; set; } = "personal-data";

    /// <summary>For how long a process may use a person's key without asking whether they were erased; zero: never. Default: 1 minute. At most a day.</summary>
    public TimeSpan PersonalDataCache { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Keeps a stream of all events of a category, in one order and without gaps: a copy of each event is appended to the stream named as the
    /// category, in the commit of the event. Streams of the category are those named <c>&lt;category&gt;-…</c>. Every process that appends must keep it,
    /// from the first event on: what was appended without is not copied later. Costs the events' room twice, and on a cluster one hash slot for the
    /// category: there it has a tag, which all its streams share, as in <c>{order}:all</c> and <c>{order}:all-17</c>. Appends to <c>order-17</c> of a
    /// category <c>order</c> are for a single server; a cluster refuses each with <see cref="StreamErrorCode.CrossSlot"/>.
    /// </summary>
    /// <param name="category">The category; without a hyphen.</param>
    public EventStoreOptions AddCategory(string category)
    {
        ArgumentException.ThrowIfNullOrEmpty(category);
        if (category.Contains('-', StringComparison.Ordinal))
            throw new ArgumentException($"The category '{category}' has a hyphen, at which the names of its streams would be cut.", nameof(category));
        StreamNames.Derive(category, "groups"); // Refuses a name that no group could follow.
        _categories.Add(category);
        return this;
    }

    /// <summary>Refuses the stream of a category where that of an aggregate belongs.</summary>
    internal void CheckStream(string stream)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        if (_categories.Contains(stream))
            throw new ArgumentException(
                $"'{stream}' is a category, which holds copies: read it with ReadCategoryAsync, and append to '{stream}-…'.", nameof(stream));
    }

    /// <summary>The category stream that gets a copy of a stream's events, or <see langword="null"/>.</summary>
    internal string? CategoryOf(string stream)
    {
        var hyphen = stream.IndexOf('-', StringComparison.Ordinal);
        return hyphen > 0 && stream[..hyphen] is var category && _categories.Contains(category) ? category : null;
    }

    internal void Check()
    {
        if (CommandWindow < TimeSpan.FromSeconds(1) || CommandWindow > StreamLimits.MaxDuration)
            throw new MillraceConfigurationException([$"Event store: CommandWindow is {CommandWindow}; it must be 1 second to {StreamLimits.MaxDuration}."]);
        if (PersonalDataCache < TimeSpan.Zero || PersonalDataCache > TimeSpan.FromDays(1))
            throw new MillraceConfigurationException([$"Event store: PersonalDataCache is {PersonalDataCache}; it must be zero to 1 day."]);
        if (!StreamNames.CanDerive(PersonalData ?? "") || PersonalData is "" or null)
            throw new MillraceConfigurationException([$"Event store: PersonalData is '{PersonalData}'; it must be the name of a stream."]);
        if (MaxTries < 1)
            throw new MillraceConfigurationException([$"Event store: MaxTries is {MaxTries}; it must be at least 1."]);
        if (MaxBetween < 1)
            throw new MillraceConfigurationException([$"Event store: MaxBetween is {MaxBetween}; it must be at least 1."]);
    }
}
