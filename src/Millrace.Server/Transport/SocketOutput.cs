using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace Millrace.Server.Transport;

/// <summary>Writes to a socket. <see cref="WriteAsync"/> sends the caller's bytes as they are, without a copy.</summary>
internal sealed class SocketOutput(Socket socket) : PipeWriter
{
    private readonly ArrayBufferWriter<byte> _buffered = new();

    public override void Advance(int bytes) => _buffered.Advance(bytes);

    public override Memory<byte> GetMemory(int sizeHint = 0) => _buffered.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _buffered.GetSpan(sizeHint);

    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (_buffered.WrittenCount > 0)
        {
            await SendAsync(_buffered.WrittenMemory, cancellationToken);
            _buffered.ResetWrittenCount();
        }

        return default;
    }

    public override async ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (_buffered.WrittenCount > 0)
            await FlushAsync(cancellationToken);
        await SendAsync(source, cancellationToken);
        return default;
    }

    /// <summary>There is no flush to cancel but by closing the socket.</summary>
    public override void CancelPendingFlush()
    {
    }

    /// <summary>The connection's owner closes the socket.</summary>
    public override void Complete(Exception? exception = null)
    {
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[await socket.SendAsync(bytes, SocketFlags.None, cancellationToken)..];
    }
}
