using System.Buffers;

namespace Millrace.Streams.Engine.Records;

/// <summary>A buffer that grows up to a limit and refuses what is beyond.</summary>
internal sealed class LimitedBuffer(int maxBytes) : IBufferWriter<byte>
{
    private readonly ArrayBufferWriter<byte> _buffer = new();

    public ReadOnlyMemory<byte> Written => _buffer.WrittenMemory;

    public void Advance(int count) => _buffer.Advance(count);

    /// <exception cref="StreamException"><see cref="StreamErrorCode.LimitExceeded"/>.</exception>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (sizeHint > maxBytes - _buffer.WrittenCount)
            throw new StreamException(StreamErrorCode.LimitExceeded, $"The value takes more than {maxBytes} bytes.");
        return _buffer.GetMemory(sizeHint);
    }

    /// <inheritdoc cref="GetMemory"/>
    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;
}
