using System.Buffers;

namespace Millrace.Redis.Connections;

/// <summary>
/// Encoded commands. One that is rented gives its memory back when it is disposed of, which may be done once its commands were sent: batches are
/// large, and as large objects they would cost a full collection every few calls.
/// </summary>
internal sealed class RespBuffer : IBufferWriter<byte>, IDisposable
{
    private readonly bool _isRented;
    private byte[] _bytes;

    public RespBuffer(byte[] bytes) => _bytes = bytes;

    private RespBuffer(int capacity) => (_bytes, _isRented) = (ArrayPool<byte>.Shared.Rent(capacity), true);

    /// <summary>A buffer of rented memory.</summary>
    /// <param name="capacityBytes">Expected bytes, to spare copies.</param>
    public static RespBuffer Rent(int capacityBytes) => new(capacityBytes);

    public int WrittenCount { get; private set; }

    public ReadOnlySpan<byte> WrittenSpan => _bytes.AsSpan(0, WrittenCount);

    public void Advance(int count) => WrittenCount += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return _bytes.AsMemory(WrittenCount);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return _bytes.AsSpan(WrittenCount);
    }

    public void Dispose()
    {
        if (_isRented)
            ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = [];
    }

    private void MakeRoom(int sizeHint)
    {
        var needed = checked(WrittenCount + Math.Max(1, sizeHint));
        if (needed <= _bytes.Length)
            return;
        var length = (int)Math.Min(Math.Max(needed, 2L * _bytes.Length), Array.MaxLength);
        var larger = _isRented ? ArrayPool<byte>.Shared.Rent(length) : new byte[length];
        WrittenSpan.CopyTo(larger);
        if (_isRented)
            ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}
