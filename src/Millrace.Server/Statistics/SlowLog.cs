using Millrace.Server.Commands;
using Millrace.Server.Commands.Connection;
using Millrace.Streams.Names;

namespace Millrace.Server.Statistics;

/// <summary>The latest commands that took long. Under the store's lock.</summary>
internal sealed class SlowLog
{
    /// <summary>Arguments that are kept of a command, and bytes of each, as in Redis.</summary>
    private const int MaxArguments = 32;

    private const int MaxArgumentBytes = 128;

    private readonly LinkedList<SlowCommand> _commands = [];

    private long _lastId = -1;

    /// <summary>Microseconds from which on a command is kept; negative: none is (<c>slowlog-log-slower-than</c>). Default 10 ms, as Redis.</summary>
    public long LeastMicroseconds { get; set; } = 10_000;

    /// <summary>Commands that are kept (<c>slowlog-max-len</c>). Default 128, as Redis.</summary>
    public long MaxCount
    {
        get;
        set
        {
            field = value;
            Trim();
        }
    } = 128;

    /// <summary>The newest first.</summary>
    public IReadOnlyCollection<SlowCommand> Commands => _commands;

    public void Clear() => _commands.Clear();

    /// <summary>Keeps a command if it took long enough. Of an EXEC its commands are kept, not it.</summary>
    public void Add(in CommandCall call, TimeSpan time)
    {
        if (LeastMicroseconds < 0 || time.TotalMicroseconds < LeastMicroseconds || call.Command.Name == "exec")
            return;
        var client = call.Client;
        _commands.AddFirst(new SlowCommand(
            ++_lastId, call.NowMs / 1000, (long)time.TotalMicroseconds, Arguments(call), client.RemoteEndPoint?.ToString() ?? "", client.Name));
        Trim();
    }

    private void Trim()
    {
        while (_commands.Count > MaxCount)
            _commands.RemoveLast();
    }

    private static string[] Arguments(in CommandCall call)
    {
        var arguments = new string[Math.Min(call.Count, MaxArguments)];
        for (var i = 0; i < arguments.Length; i++)
        {
            var bytes = call[i];
            arguments[i] = Monitors.IsSecret(call, i) ? "(redacted)"
                : bytes.Length <= MaxArgumentBytes ? KeyText.Decode(bytes)
                : $"{KeyText.Decode(bytes[..MaxArgumentBytes])}... ({bytes.Length - MaxArgumentBytes} more bytes)";
        }

        if (call.Count > MaxArguments)
            arguments[^1] = $"... ({call.Count - MaxArguments + 1} more arguments)";
        return arguments;
    }
}

/// <summary>A command that took long.</summary>
/// <param name="Id">Counts up from 0 and never again, also when the log is emptied.</param>
/// <param name="Seconds">Unix seconds when it ran.</param>
/// <param name="Microseconds">How long it took, without waiting for the lock or the disk.</param>
/// <param name="Arguments">Its name and arguments, shortened.</param>
/// <param name="Address">The client's address and port.</param>
/// <param name="ClientName">The client's name, or empty.</param>
internal sealed record SlowCommand(long Id, long Seconds, long Microseconds, string[] Arguments, string Address, string ClientName);
