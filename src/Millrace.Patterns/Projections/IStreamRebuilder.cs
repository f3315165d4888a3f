namespace Millrace.Projections;

/// <summary>A target that can fold what is made of one stream anew.</summary>
internal interface IStreamRebuilder
{
    /// <summary>See <see cref="ProjectionControl.RebuildStreamAsync"/>.</summary>
    ValueTask RebuildAsync(string stream, int version, CancellationToken cancellationToken);
}
