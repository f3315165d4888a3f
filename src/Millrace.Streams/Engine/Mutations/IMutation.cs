using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// One thing that changes the engine, as data. The set is closed: one file for each, with its bytes on disk and what it does. Mutations are
/// structs, so that applying one allocates nothing beyond its result.
/// </summary>
internal interface IMutation
{
    MutationKind Kind { get; }

    /// <summary>Writes the parts. Each mutation has a static <c>Read</c> that reads the same parts in the same order.</summary>
    void Write(RecordWriter writer);
}

/// <summary>A mutation with its result.</summary>
internal interface IMutation<TResult> : IMutation
{
    /// <summary>
    /// Checks everything that can fail, then changes the engine. Deterministic: the same engine, mutation and moment give the same.
    /// </summary>
    /// <returns>Whether anything changed. What changed nothing is not journaled.</returns>
    /// <exception cref="StreamException">Refused; nothing changed.</exception>
    bool Apply(StreamEngine engine, long nowMs, out TResult result);
}
