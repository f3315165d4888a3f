using System.Buffers;

namespace Millrace.Streams.Engine.Snapshots;

/// <summary>Takes a run of bytes of any length and hands it on in parts of limited size.</summary>
internal sealed class PartBuffer(int maxPartBytes, Action<ReadOnlyMemory<byte>> emit) : IBufferWriter<byte>
{
    private readonly byte[] _part = new byte[maxPartBytes];

    private int _used;

    /// <summary>Asked for at once, and larger than a part: handed on in pieces when it is filled.</summary>
    private byte[]? _large;

    public void Advance(int count)
    {
        if (_large is not { } large)
        {
            _used += count;
            return;
        }

        _large = null;
        this.Write(large.AsSpan(0, count));
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (sizeHint > maxPartBytes)
            return _large = new byte[sizeHint];
        if (Math.Max(1, sizeHint) > maxPartBytes - _used)
            Flush();
        return _part.AsMemory(_used);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <summary>Hands on what is left.</summary>
    public void Flush()
    {
        if (_used > 0)
            emit(_part.AsMemory(0, _used));
        _used = 0;
    }
}
