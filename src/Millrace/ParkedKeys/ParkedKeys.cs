using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The parked keys of ordered groups (<see cref="ConsumerOptions.OrderedBy"/>): list, resume, skip, from any process. A singleton where
/// Millrace is added; made by hand anywhere else.
/// </summary>
/// <param name="store">The store.</param>
public sealed class ParkedKeys(IStreamStore store)
{
    /// <summary>The parked keys of one group. Asks the store for nothing.</summary>
    /// <param name="stream">The stream the group reads; it need not exist.</param>
    /// <param name="group">The group; it need not run in this process.</param>
    /// <exception cref="ArgumentException">A name is empty, too long or has stray braces.</exception>
    public GroupParkedKeys Of(string stream, string group) => new(store, stream, group);
}
