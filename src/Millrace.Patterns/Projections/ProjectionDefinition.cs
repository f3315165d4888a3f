namespace Millrace.Projections;

/// <summary>A projection as the application added it.</summary>
internal sealed record ProjectionDefinition(ProjectionNames Names, ProjectionOptions Options, Func<IServiceProvider, IProjectionTarget> Target)
{
    public string Name => Names.Projection;

    public string Source => Names.Source;
}
