namespace Millrace.EntityFrameworkCore;

/// <summary>The checkpoint of a projection's generation: written in the transactions of its read model.</summary>
public sealed class ProjectionRow
{
    // As long as the name of a projection may be, and as its checkpoint can become.
    internal const int MaxNameLength = 128;
    internal const int MaxCheckpointLength = 80;

    internal ProjectionRow(string projection, int generation, string checkpoint) =>
        (Projection, Generation, Checkpoint) = (projection, generation, checkpoint);

    /// <summary>The projection.</summary>
    public string Projection { get; private set; }

    /// <summary>The generation of the read model.</summary>
    public int Generation { get; private set; }

    /// <summary>How far it has come.</summary>
    public string Checkpoint { get; private set; }
}
