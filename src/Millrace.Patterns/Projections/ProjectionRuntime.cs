namespace Millrace.Projections;

/// <summary>A projection in this process.</summary>
internal sealed record ProjectionRuntime(ProjectionDefinition Definition, IProjectionTarget Target, ProjectionStatus Status)
{
    // As a rule still the right one, which saves a query its first round trip.
    private volatile int _servingGeneration;

    /// <summary>The generation that served queries when one asked last; 0: none has.</summary>
    public int ServingGeneration
    {
        get => _servingGeneration;
        set => _servingGeneration = value;
    }
}
