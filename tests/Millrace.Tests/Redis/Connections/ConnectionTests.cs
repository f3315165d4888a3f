using System.Text;
using System.Threading.Channels;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

/// <summary>A connection over a stream whose writes take as long as the test likes.</summary>
public sealed class ConnectionTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task Break_tells_what_was_sent_from_what_was_not()
    {
        await using var connection = RedisConnection.Start(new StalledStream(), new RedisOptions(), TimeProvider.System);
        var sent = connection.ExecuteAsync(new RespCommand("SET"), Timeout, default).AsTask();
        var queued = connection.ExecuteAsync(new RespCommand("GET"), Timeout, default).AsTask();
        var queuedTogether = connection.ExecuteManyAsync([new RespCommand("GET"), new RespCommand("GET")], Timeout, default).AsTask();

        connection.Break(new IOException("Pulled."));

        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => sent)).Code);
        await Assert.ThrowsAsync<ConnectionLostException>(() => queued);
        await Assert.ThrowsAsync<ConnectionLostException>(() => queuedTogether);
        await Assert.ThrowsAsync<ConnectionLostException>(() => connection.ExecuteAsync(new RespCommand("GET"), Timeout, default).AsTask());
    }

    [Fact]
    public async Task Commands_wait_in_line_for_room_and_fail_unsent_with_the_connection()
    {
        var options = new RedisOptions { MaxPipelinedCommands = 1 };
        await using var connection = RedisConnection.Start(new StalledStream(), options, TimeProvider.System);
        var first = connection.ExecuteAsync(new RespCommand("SET"), Timeout, default).AsTask();
        var second = connection.ExecuteAsync(new RespCommand("SET"), Timeout, default).AsTask();

        connection.Break(new IOException("Pulled."));

        await Assert.ThrowsAsync<StreamException>(() => first);
        await Assert.ThrowsAsync<ConnectionLostException>(() => second);
    }

    [Fact]
    public async Task Time_of_a_command_begins_when_it_is_handed_to_the_socket()
    {
        var time = new ManualTimeProvider();
        var stream = new StalledStream();
        await using var connection = RedisConnection.Start(stream, new RedisOptions(), time);
        var limit = TimeSpan.FromSeconds(10);
        var first = connection.ExecuteAsync(new RespCommand("GET"), limit, default).AsTask();
        var second = connection.ExecuteAsync(new RespCommand("GET"), limit, default).AsTask();

        // The line is slow: the second goes out when the time of the first is almost over, and has all of its own.
        time.Advance(TimeSpan.FromSeconds(9));
        stream.FinishWrite();
        await Eventually.TrueAsync("the second is handed over", () => new(stream.WriteCount == 2));
        stream.Answer("+first\r\n"u8);
        Assert.Equal("first", (await first).Text);
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.True(connection.IsOpen);
        time.Advance(TimeSpan.FromSeconds(2));

        var failure = await Assert.ThrowsAsync<StreamException>(() => second);
        Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        Assert.IsType<TimeoutException>(failure.InnerException);
    }

    [Fact]
    public async Task Deadline_that_passes_while_its_timer_is_set_breaks_the_connection_and_not_the_process()
    {
        var time = new StallingTime();
        await using var connection = RedisConnection.Start(new StalledStream(), new RedisOptions(), time);
        var waiting = connection.ExecuteAsync(new RespCommand("GET"), TimeSpan.FromSeconds(5), default).AsTask();

        // The timer finds a command that has time left; when it is set for that, it has none any more.
        time.StallsAfterNextReading = true;
        time.Fire();
        Assert.True(connection.IsOpen);
        time.Fire();

        Assert.IsType<TimeoutException>((await Assert.ThrowsAsync<StreamException>(() => waiting)).InnerException);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(int.MaxValue)]
    public async Task Replies_to_commands_together_are_told_from_pushes_and_later_replies(int bytesARead)
    {
        var stream = new AnsweringStream(bytesARead);
        var pushes = new List<string>();
        await using var connection = RedisConnection.Start(stream, new RedisOptions(), TimeProvider.System);
        connection.PushReceived = push => pushes.Add(push[1].Text);
        var together = connection.ExecuteManyAsync([.. Enumerable.Range(0, 3).Select(_ => new RespCommand("GET"))], Timeout, default).AsTask();
        var alone = connection.ExecuteAsync(new RespCommand("GET"), Timeout, default).AsTask();
        var large = new string('x', 40_000); // Longer than what is copied out at a time.

        stream.Answer($"+a\r\n>2\r\n+p\r\n+1\r\n${large.Length}\r\n{large}\r\n>2\r\n+p\r\n+2\r\n-ERR c\r\n*2\r\n+d\r\n+e\r\n>2\r\n+p\r\n+3\r\n");

        var replies = await together;
        Assert.Equal(["a", large, "ERR c"], replies.Select(reply => reply.Text));
        Assert.Equal([false, false, true], replies.Select(reply => reply.IsError));
        Assert.Equal("e", (await alone)[1].Text);
        await Eventually.TrueAsync("all pushes are there", () => new(pushes.Count == 3));
        Assert.Equal(["1", "2", "3"], pushes);
    }

    [Fact]
    public async Task Connection_that_ends_among_the_replies_to_commands_together_leaves_their_outcome_unknown()
    {
        var stream = new AnsweringStream(int.MaxValue);
        await using var connection = RedisConnection.Start(stream, new RedisOptions(), TimeProvider.System);
        var together = connection.ExecuteManyAsync([new RespCommand("GET"), new RespCommand("GET")], Timeout, default).AsTask();

        stream.Answer("+a\r\n+b");
        stream.Answer("");

        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => together)).Code);
    }

    [Fact]
    public async Task Reply_too_many_is_not_taken_for_that_of_a_command_which_was_not_sent_yet()
    {
        var stream = new StalledStream();
        await using var connection = RedisConnection.Start(stream, new RedisOptions(), TimeProvider.System);
        var sent = connection.ExecuteAsync(new RespCommand("GET"), Timeout, default).AsTask();
        var queued = connection.ExecuteAsync(new RespCommand("GET"), Timeout, default).AsTask();

        stream.Answer("+first\r\n+second\r\n"u8);

        Assert.Equal("first", (await sent).Text);
        await Assert.ThrowsAsync<ConnectionLostException>(() => queued);
    }

    [Fact]
    public async Task Gate_admits_in_order_and_passes_a_batch_larger_than_itself_alone()
    {
        var gate = new FlowGate(maxCommands: 2, maxBytes: 100);
        Assert.True(gate.EnterAsync(1, 10, default).IsCompletedSuccessfully);
        var large = gate.EnterAsync(5, 500, default).AsTask();
        var small = gate.EnterAsync(1, 10, default).AsTask();
        Assert.False(large.IsCompleted);
        Assert.False(small.IsCompleted);

        gate.Exit(1, 10);
        await large;
        Assert.False(small.IsCompleted);

        for (var i = 0; i < 5; i++)
            gate.Exit(1, 100);
        await small;
    }

    [Fact]
    public async Task Gate_forgets_a_caller_that_gives_up()
    {
        var gate = new FlowGate(maxCommands: 1, maxBytes: 100);
        await gate.EnterAsync(1, 1, default);
        using var cancellation = new CancellationTokenSource();
        var givesUp = gate.EnterAsync(1, 1, cancellation.Token).AsTask();
        var waits = gate.EnterAsync(1, 1, default).AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => givesUp);
        gate.Exit(1, 1);

        await waits;
        Assert.False(gate.EnterAsync(1, 1, default).IsCompleted);
    }

    /// <summary>A clock that stands still, but for one jump between two readings, and whose timers take what those of the system take.</summary>
    private sealed class StallingTime : TimeProvider
    {
        private long _ticks;
        private Action? _timer;

        public bool StallsAfterNextReading { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp()
        {
            var now = _ticks;
            if (StallsAfterNextReading)
                (_ticks, StallsAfterNextReading) = (_ticks + TimeSpan.FromSeconds(10).Ticks, false);
            return now;
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _timer = () => callback(state);
            return System.CreateTimer(static _ => { }, null, dueTime, period);
        }

        public void Fire() => _timer!();
    }

    /// <summary>Takes every write, and gives its answers in pieces.</summary>
    private sealed class AnsweringStream(int bytesARead) : MemoryStream
    {
        private readonly Channel<byte[]> _answers = Channel.CreateUnbounded<byte[]>();
        private ReadOnlyMemory<byte> _rest;

        /// <summary>Nothing: the end.</summary>
        public void Answer(string wire)
        {
            if (wire.Length == 0)
                _answers.Writer.TryWrite([]);
            foreach (var piece in Encoding.UTF8.GetBytes(wire).Chunk(bytesARead))
                _answers.Writer.TryWrite(piece);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => ValueTask.CompletedTask;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_rest.IsEmpty && await _answers.Reader.WaitToReadAsync(cancellationToken) && _answers.Reader.TryRead(out var piece))
                _rest = piece;
            var count = Math.Min(_rest.Length, buffer.Length);
            _rest[..count].CopyTo(buffer);
            _rest = _rest[count..];
            return count;
        }

        protected override void Dispose(bool disposing)
        {
            _answers.Writer.TryComplete();
            base.Dispose(disposing);
        }
    }

    private sealed class StalledStream : Stream
    {
        private readonly TaskCompletionSource _firstWrite = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<int> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<byte[]> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private bool _isAnswered;
        private int _writeCount;

        public int WriteCount => Volatile.Read(ref _writeCount);

        public void FinishWrite() => _firstWrite.TrySetResult();

        public void Answer(ReadOnlySpan<byte> wire) => _answer.TrySetResult(wire.ToArray());

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            new(Interlocked.Increment(ref _writeCount) == 1 ? Task.WhenAny(_firstWrite.Task, _closed.Task).Unwrap() : _closed.Task);

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_isAnswered || await Task.WhenAny(_answer.Task, _closed.Task) == _closed.Task)
                return await _closed.Task;
            _isAnswered = true;
            var answer = await _answer.Task;
            answer.CopyTo(buffer);
            return answer.Length;
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing) => _closed.TrySetException(new ObjectDisposedException(nameof(StalledStream)));
    }
}
