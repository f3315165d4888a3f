using Millrace.Server.Connections;

namespace Millrace.Server.Commands;

/// <summary>A request kept beyond its turn: queued by MULTI, or waiting to be run again.</summary>
internal sealed class StoredRequest
{
    private readonly byte[] _bytes;
    private readonly ArgumentRange[] _arguments;

    private StoredRequest(CommandInfo command, byte[] bytes, ArgumentRange[] arguments)
    {
        Command = command;
        _bytes = bytes;
        _arguments = arguments;
    }

    public CommandInfo Command { get; }

    public int Bytes => _bytes.Length;

    public static StoredRequest Copy(CommandInfo command, ReadOnlySpan<byte> input, ReadOnlySpan<ArgumentRange> arguments)
    {
        var length = 0;
        foreach (var argument in arguments)
            length += argument.Length;
        var bytes = new byte[length];
        var ranges = new ArgumentRange[arguments.Length];
        length = 0;
        for (var i = 0; i < ranges.Length; i++)
        {
            input.Slice(arguments[i].Start, arguments[i].Length).CopyTo(bytes.AsSpan(length));
            ranges[i] = new(length, arguments[i].Length);
            length += arguments[i].Length;
        }

        return new(command, bytes, ranges);
    }

    /// <summary>The call that runs it.</summary>
    public CommandCall ToCall(RespServer server, ClientConnection client, long nowMs, bool mayBlock) =>
        new(server, client, Command, _bytes, _arguments, nowMs) { MayBlock = mayBlock };
}
