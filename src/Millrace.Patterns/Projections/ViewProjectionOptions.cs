namespace Millrace.Projections;

/// <summary>Settings of a projection into views by key. A target of the application folds for itself, and has nothing to do with these.</summary>
public sealed class ViewProjectionOptions : ProjectionOptions
{
    /// <summary>
    /// How many keys of a batch are folded side by side, where a batch has at least 32. Spreads the CPU time of the folds and no more: batches are
    /// read and saved one after the other. Folds must not share anything then; events of one key keep their order.
    /// Default: the number of processors. At least 1.
    /// </summary>
    public int Parallelism { get; set; } = Environment.ProcessorCount;

    internal override IEnumerable<string> Errors()
    {
        foreach (var error in base.Errors())
            yield return error;
        if (Parallelism < 1)
            yield return $"Parallelism is {Parallelism}; it must be at least 1.";
    }
}
