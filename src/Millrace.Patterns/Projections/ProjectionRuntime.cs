namespace Millrace.Projections;

/// <summary>A projection in this process.</summary>
internal sealed record ProjectionRuntime(ProjectionDefinition Definition, IProjectionTarget Target, ProjectionStatus Status);
