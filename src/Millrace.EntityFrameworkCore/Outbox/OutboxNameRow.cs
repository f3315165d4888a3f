namespace Millrace.EntityFrameworkCore;

/// <summary>
/// The one row that says which outbox a table is: the first relay writes its <see cref="OutboxOptions.Name"/>, and one with another name is refused.
/// </summary>
public sealed class OutboxNameRow
{
    // As long as a name may be that fits the keys of the store.
    internal const int MaxNameLength = Streams.StreamLimits.MaxNameBytes;

    internal OutboxNameRow(string name) => Name = name;

    /// <summary>Always 1: there is one row.</summary>
    public int Id { get; private set; } = 1;

    /// <summary>The name.</summary>
    public string Name { get; private set; }
}
