using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The dead letters of every group: list, count by cause, redrive, delete, trim, and who did what. A singleton where Millrace is added; made
/// by hand anywhere else.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="time">The clock of rate limits, ages and notes. Default: the system's.</param>
public sealed class DeadLetters(IStreamStore store, TimeProvider? time = null)
{
    /// <summary>The dead letters of one group. Asks the store for nothing.</summary>
    /// <param name="stream">The stream the group reads; it need not exist.</param>
    /// <param name="group">The group; it need not run in this process.</param>
    /// <exception cref="ArgumentException">A name is empty, too long or has stray braces.</exception>
    public GroupDeadLetters Of(string stream, string group)
    {
        StreamArguments.CheckGroup(stream, group);
        return new(store, time ?? TimeProvider.System, stream, group);
    }
}
