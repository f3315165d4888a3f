namespace Millrace.Consuming;

/// <summary>How many entries <see cref="ConsumerOptions.PrefetchBytes"/> allow, by the size of those that came. Safe for all threads.</summary>
internal sealed class ReadAhead(ConsumerOptions options)
{
    private readonly ReadSize _size = new(options.PrefetchBytes);

    /// <summary>Entries that may wait for handlers.</summary>
    public int Entries => Math.Min(options.EffectivePrefetch, Fitting);

    /// <summary>Entries that one call may bring.</summary>
    public int Fitting => _size.Fitting;

    /// <summary>Room that is worth a read: half of what may wait, so that a busy group reads in batches; while less is free, every handler has work.</summary>
    public int WantedRoom => Math.Max(1, Entries / 2);

    /// <inheritdoc cref="ReadSize.Learn"/>
    public void Learn(long bytes, int count) => _size.Learn(bytes, count);

    /// <inheritdoc cref="ReadSize.Forget"/>
    public void Forget() => _size.Forget();
}
