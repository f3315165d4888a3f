using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Millrace.Embedded;
using Millrace.Resp;
using Millrace.Server.Connections;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands;

/// <summary>
/// One command as its handler sees it: the arguments, who sent them, the engine of the turn, and the reply to write. Helpers named
/// <c>Try…</c> write the error reply themselves when they return false, so that a handler only returns.
/// </summary>
internal readonly ref struct CommandCall(
    RespServer server, ClientConnection client, CommandInfo command, ReadOnlySpan<byte> input, ReadOnlySpan<ArgumentRange> arguments, long nowMs)
{
    private readonly ReadOnlySpan<byte> _input = input;
    private readonly ReadOnlySpan<ArgumentRange> _arguments = arguments;

    public RespServer Server { get; } = server;

    public ClientConnection Client { get; } = client;

    /// <summary>The command, or the subcommand when there is one.</summary>
    public CommandInfo Command { get; } = command;

    /// <summary>The moment of the turn in Unix milliseconds.</summary>
    public long NowMs { get; } = nowMs;

    /// <summary>Whether the client may be made to wait: not inside EXEC.</summary>
    public bool MayBlock { get; init; } = true;

    public EmbeddedStreamStore Store => Server.Store;

    /// <summary>The engine, with the client's database selected.</summary>
    public StreamEngine Engine => Server.Store.EngineNeedsLock;

    /// <summary>Where the reply goes.</summary>
    public RespWriter Reply { get; } = new(client.Output, client.RespVersion);

    public bool IsResp3 => Client.RespVersion >= 3;

    /// <summary>Arguments, the command's name included.</summary>
    public int Count => _arguments.Length;

    public ReadOnlySpan<byte> this[int index] => _input.Slice(_arguments[index].Start, _arguments[index].Length);

    /// <summary>The same request as another command: how a subcommand or an EXEC runs.</summary>
    public CommandCall As(CommandInfo other) => new(Server, Client, other, _input, _arguments, NowMs) { MayBlock = MayBlock };

    /// <summary>The request that begins at an argument, as another command.</summary>
    public CommandCall Skip(int count, CommandInfo other) => new(Server, Client, other, _input, _arguments[count..], NowMs);

    /// <summary>Adds the indexes of the request's keys.</summary>
    public void FindKeys(List<int> keys)
    {
        if (Command.FindKeys is { } find)
        {
            var call = this;
            find(ref call, keys);
            return;
        }

        var last = Command.LastKey < 0 ? Count + Command.LastKey : Command.LastKey;
        for (var i = Command.FirstKey; i > 0 && i <= last && i < Count; i += Command.KeyStep)
            keys.Add(i);
    }

    /// <summary>The request as bytes of its own, for running it later.</summary>
    public StoredRequest ToStored() => StoredRequest.Copy(Command, _input, _arguments);

    /// <summary>Whether an argument is this word, in any case.</summary>
    public bool Is(int index, ReadOnlySpan<byte> word) => Ascii.EqualsIgnoreCase(this[index], word);

    /// <summary>An argument as text without loss. Allocates.</summary>
    public string Text(int index) => KeyText.Decode(this[index]);

    /// <summary>An argument as errors quote it.</summary>
    public string Quote(int index) => Errors.Quote(Text(index));

    /// <summary>A key. Allocates only when the key does not exist.</summary>
    public string Key(int index) => FindValue(index)?.Key ?? Text(index);

    /// <summary>What a key holds, or null. Allocates nothing for names of up to 256 bytes.</summary>
    public KeyspaceValue? FindValue(int index)
    {
        var found = Engine.Keyspace.Find(this[index]);
        if (Command.Has(CommandFlags.ReadOnly))
            Server.Statistics.CountLookup(found is not null);
        return found;
    }

    /// <summary>The value of a key if it has this type or the key is free; otherwise the error is written.</summary>
    public bool TryFind<TValue>(int index, out TValue? value)
        where TValue : KeyspaceValue
    {
        var found = FindValue(index);
        value = found as TValue;
        if (found is null || value is not null)
            return true;
        Error(Errors.WrongType);
        return false;
    }

    /// <summary>A whole number; otherwise the error is written.</summary>
    public bool TryInteger(int index, out long value, string error = Errors.NotAnInteger)
    {
        if (Numbers.TryParseInt64(this[index], out value))
            return true;
        Error(error);
        return false;
    }

    /// <summary>
    /// A time to wait at most, in milliseconds; 0: without a limit; otherwise the error is written. Longer than a timer takes is the longest it
    /// takes.
    /// </summary>
    public bool TryTimeoutMs(int index, out long timeoutMs)
    {
        if (!TryInteger(index, out timeoutMs, "ERR timeout is not an integer or out of range"))
            return false;
        if (timeoutMs < 0)
        {
            Error("ERR timeout is negative");
            return false;
        }

        timeoutMs = Math.Min(timeoutMs, uint.MaxValue - 1);
        return true;
    }

    /// <summary>Applies a mutation and journals it.</summary>
    /// <exception cref="StreamException">The journal or the engine refused; nothing changed. The dispatcher answers with it.</exception>
    public TResult Apply<TMutation, TResult>(in TMutation mutation)
        where TMutation : struct, IMutation<TResult> => Store.ApplyNeedsLock<TMutation, TResult>(mutation, NowMs);

    /// <summary>Writes an error reply.</summary>
    /// <param name="codeAndMessage">The code in capitals, a blank, and the message.</param>
    public void Error(string codeAndMessage)
    {
        Server.Statistics.CountError(codeAndMessage);
        Client.Output.WriteErrorLine(codeAndMessage);
    }

    public void Ok() => Client.Output.WriteRaw("+OK\r\n"u8);

    /// <summary>Writes the error for a wrong number of arguments.</summary>
    public void WrongArity() => Error(Errors.WrongArity(Command.FullName));

    /// <summary>Writes a name as a bulk string.</summary>
    public void WriteText(string text)
    {
        Span<byte> bytes = stackalloc byte[256];
        var length = KeyText.ByteCount(text);
        if (length > bytes.Length)
            bytes = new byte[length];
        Reply.WriteBulk(bytes[..KeyText.Encode(text, bytes)]);
    }

    /// <summary>Writes text for people: a bulk string that says so in RESP3.</summary>
    public void WriteVerbatim(string text)
    {
        if (!IsResp3)
        {
            WriteText(text);
            return;
        }

        var bytes = new byte[KeyText.ByteCount(text)];
        KeyText.Encode(text, bytes);
        Client.Output.WriteRaw(Encoding.ASCII.GetBytes($"={bytes.Length + 4}\r\ntxt:"));
        Client.Output.WriteRaw(bytes);
        Client.Output.WriteRaw("\r\n"u8);
    }

    /// <summary>Writes the lines of a HELP.</summary>
    public void WriteHelp(ReadOnlySpan<string> lines)
    {
        Reply.WriteArray(lines.Length);
        foreach (var line in lines)
            Reply.WriteSimple(line);
    }

    /// <summary>Writes an entry ID as a bulk string.</summary>
    public void WriteId(EntryId id)
    {
        // Formatted where it goes, behind the header of an ID of two digits' length; the rare short one moves up by one.
        var line = Client.Output.GetSpan(EntryId.MaxLength + "$41\r\n\r\n".Length);
        var text = line["$41\r\n".Length..];
        Utf8Formatter.TryFormat(id.Milliseconds, text, out var length);
        text[length++] = (byte)'-';
        Utf8Formatter.TryFormat(id.Sequence, text[length..], out var rest);
        length += rest;
        var at = 0;
        line[at++] = (byte)'$';
        if (length < 10)
            text[..length].CopyTo(line["$9\r\n".Length..]);
        else
            line[at++] = (byte)('0' + (length / 10));
        line[at++] = (byte)('0' + (length % 10));
        "\r\n"u8.CopyTo(line[at..]);
        at += 2 + length;
        "\r\n"u8.CopyTo(line[at..]);
        Client.Output.Advance(at + 2);
    }

    /// <summary>
    /// Makes the client wait until <paramref name="blocked"/> is served or its time is over. No reply may have been written. Only when
    /// <see cref="MayBlock"/>.
    /// </summary>
    public void Block(BlockedCommand blocked, TimeSpan? limit) => Client.BlockNeedsLock(blocked, limit);
}
