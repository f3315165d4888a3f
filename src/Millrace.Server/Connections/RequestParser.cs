using System.Runtime.InteropServices;
using Millrace.Server.Commands;

namespace Millrace.Server.Connections;

/// <summary>An argument as a place in the bytes of its request.</summary>
internal readonly record struct ArgumentRange(int Start, int Length);

/// <summary>A request found in the input, as a run of arguments.</summary>
/// <param name="FirstArgument">The first of its arguments in the parser's list.</param>
/// <param name="ArgumentCount">How many it has: at least one.</param>
/// <param name="End">Where the next request starts in the input.</param>
/// <param name="Own">The bytes its arguments are places in, when they are not the input's: an inline request was unquoted.</param>
internal readonly record struct Request(int FirstArgument, int ArgumentCount, int End, byte[]? Own);

/// <summary>
/// Finds the requests in what a client sent: arrays of bulk strings, or inline lines. Resumes where it stopped when a request is incomplete, so
/// that each byte is looked at once however it arrives. Bounds are checked before anything is waited for.
/// </summary>
internal sealed class RequestParser(RespServerOptions options)
{
    /// <summary>A list that one large request blew up is given back above this size; 1,024 small requests fit.</summary>
    private const int KeptArguments = 16 * 1024;

    private readonly List<ArgumentRange> _arguments = [];
    private readonly List<Request> _requests = [];

    /// <summary>Where the incomplete request goes on, relative to its start; 0 when none has begun.</summary>
    private int _resumeAt;

    /// <summary>Arguments still to come of the incomplete request.</summary>
    private int _argumentsLeft;

    /// <summary>The incomplete request's arguments begin here in <see cref="_arguments"/>.</summary>
    private int _firstArgument;

    /// <summary>The length of the argument whose bytes come next, or -1 when its header does.</summary>
    private int _bulkLength = -1;

    /// <summary>The requests found by the last <see cref="Parse"/>.</summary>
    public ReadOnlySpan<Request> Requests => CollectionsMarshal.AsSpan(_requests);

    public ReadOnlySpan<ArgumentRange> ArgumentsOf(Request request) =>
        CollectionsMarshal.AsSpan(_arguments).Slice(request.FirstArgument, request.ArgumentCount);

    /// <summary>What the client did wrong, as the error reply says it; the connection must be closed after it. Null: nothing.</summary>
    public string? ProtocolError { get; private set; }

    /// <summary>Whether the last call stopped because it found as many as it may; the input may hold more.</summary>
    public bool IsFull { get; private set; }

    /// <summary>Whether arguments are limited to what a login needs.</summary>
    public bool IsRestricted { get; set; }

    /// <summary>Finds whole requests.</summary>
    /// <param name="input">All bytes that are not consumed yet, from the start of the first incomplete request.</param>
    /// <param name="maxRequests">Requests to find at most.</param>
    /// <returns>Bytes of <paramref name="input"/> up to which requests are whole; the rest belongs to the next call.</returns>
    public int Parse(ReadOnlySpan<byte> input, int maxRequests)
    {
        _requests.Clear();
        if (_resumeAt == 0)
        {
            _arguments.Clear();
            if (_arguments.Capacity > KeptArguments)
                _arguments.Capacity = KeptArguments;
        }
        else if (_firstArgument > 0)
        {
            // The arguments found so far of the incomplete request come first; they are relative to its start already.
            _arguments.RemoveRange(0, _firstArgument);
            _firstArgument = 0;
        }

        var start = 0;
        while (_requests.Count < maxRequests && start < input.Length && ProtocolError is null)
        {
            var end = ParseOne(input, start);
            if (end < 0)
                break;
            start = end;
        }

        IsFull = _requests.Count == maxRequests;

        // Kept relative to the start of the incomplete request, where the next input begins.
        if (start > 0 && _resumeAt > 0)
        {
            foreach (ref var argument in CollectionsMarshal.AsSpan(_arguments)[_firstArgument..])
                argument = argument with { Start = argument.Start - start };
        }

        return start;
    }

    /// <summary>Returns where the next request starts, or -1 when this one is incomplete or wrong.</summary>
    private int ParseOne(ReadOnlySpan<byte> input, int start)
    {
        if (_resumeAt == 0)
        {
            if (input[start] != '*')
                return ParseInline(input, start);
            if (TryParseWhole(input, start) is var whole && whole > 0)
                return whole;
            _firstArgument = _arguments.Count;
            var end = ReadHeader(input, start, start + 1, out var count, out var isNumber);
            if (end < 0)
                return Fail(end == TooLong ? "too big mbulk count string" : null);
            if (!isNumber || count > options.MaxArguments)
                return Fail("invalid multibulk length");
            if (IsRestricted && count > 10)
                return Fail("unauthenticated multibulk length");
            if (count <= 0)
                return end;
            _argumentsLeft = (int)count;
            _resumeAt = end - start;
        }

        var at = start + _resumeAt;
        while (_argumentsLeft > 0)
        {
            if (_bulkLength < 0)
            {
                if (at >= input.Length)
                    return Suspend(at - start);
                if (input[at] != '$')
                    return Fail($"expected '$', got '{Printable(input[at])}'");
                var body = ReadHeader(input, start, at + 1, out var length, out var isNumber);
                if (body < 0)
                    return body == TooLong ? Fail("too big bulk count string") : Suspend(at - start);
                if (!isNumber || length < 0 || length > options.MaxBulkBytes || body - start + length > options.MaxCommandBytes)
                    return Fail("invalid bulk length");
                if (IsRestricted && length > 16 * 1024)
                    return Fail("unauthenticated bulk length");
                _bulkLength = (int)length;
                at = body;
            }

            if (input.Length - at < _bulkLength + 2)
                return Suspend(at - start);
            _arguments.Add(new(at, _bulkLength));
            at += _bulkLength + 2;
            _bulkLength = -1;
            _argumentsLeft--;
        }

        _requests.Add(new(_firstArgument, _arguments.Count - _firstArgument, at, null));
        _resumeAt = 0;
        return at;
    }

    /// <summary>
    /// The usual request, in a hurry: it is there as a whole, and small. Any other is left to the slow way, which also knows what is wrong.
    /// </summary>
    /// <returns>Where the next request starts, or 0.</returns>
    private int TryParseWhole(ReadOnlySpan<byte> input, int start)
    {
        const int MaxWholeArguments = 1_024;
        var at = start + 1;
        if (IsRestricted || !TryReadShortHeader(input, ref at, out var count) || count == 0 || count > Math.Min(MaxWholeArguments, options.MaxArguments))
            return 0;

        var first = _arguments.Count;
        CollectionsMarshal.SetCount(_arguments, first + count);
        foreach (ref var argument in CollectionsMarshal.AsSpan(_arguments)[first..])
        {
            if ((uint)at >= (uint)input.Length
                || input[at++] != '$'
                || !TryReadShortHeader(input, ref at, out var length)
                || length > options.MaxBulkBytes
                || at + length + 2 > Math.Min(input.Length, (long)start + options.MaxCommandBytes))
            {
                CollectionsMarshal.SetCount(_arguments, first);
                return 0;
            }

            argument = new(at, length);
            at += length + 2;
        }

        _requests.Add(new(first, count, at, null));
        return at;
    }

    /// <summary>Reads up to six digits, the first of several no zero, and the line's end.</summary>
    private static bool TryReadShortHeader(ReadOnlySpan<byte> input, ref int at, out int number)
    {
        const int MaxDigits = 6;
        number = 0;
        var end = at;
        uint digit;
        while ((uint)end < (uint)input.Length && (digit = (uint)(input[end] - '0')) <= 9 && end - at < MaxDigits)
        {
            number = (number * 10) + (int)digit;
            end++;
        }

        if (end == at || end + 1 >= input.Length || input[end] != '\r' || (input[at] == '0' && end > at + 1))
            return false;
        at = end + 2;
        return true;
    }

    private const int Incomplete = -1;
    private const int TooLong = -2;

    /// <summary>Reads the digits up to CR LF.</summary>
    /// <returns>Where the next line starts, or <see cref="Incomplete"/>, or <see cref="TooLong"/>.</returns>
    private int ReadHeader(ReadOnlySpan<byte> input, int start, int at, out long number, out bool isNumber)
    {
        number = 0;
        isNumber = false;
        var rest = input[at..];

        var end = rest.IndexOf((byte)'\r');
        if (end < 0)
            return rest.Length > options.MaxInlineBytes ? TooLong : Incomplete;
        if (rest.Length < end + 2)
            return Incomplete;
        isNumber = Numbers.TryParseInt64(rest[..end], out number);
        return at + end + 2;
    }

    private int ParseInline(ReadOnlySpan<byte> input, int start)
    {
        var rest = input[start..];
        var end = rest.IndexOf((byte)'\n');
        if ((end < 0 ? rest.Length : end) > options.MaxInlineBytes)
            return Fail("too big inline request");
        if (end < 0)
            return Incomplete;
        var line = rest[..end];
        if (line.EndsWith("\r"u8))
            line = line[..^1];
        var first = _arguments.Count;
        if (!InlineRequest.TrySplit(line, _arguments, out var own))
            return Fail("unbalanced quotes in request");
        if (_arguments.Count > first)
            _requests.Add(new(first, _arguments.Count - first, start + end + 1, own));
        return start + end + 1;
    }

    /// <summary>Takes back what was found from the start of a request on: the client must wait before it goes on. The next input starts there.</summary>
    public int StopAt(int start)
    {
        (_resumeAt, _argumentsLeft, _bulkLength, ProtocolError, IsFull) = (0, 0, -1, null, false);
        return start;
    }

    private int Suspend(int resumeAt)
    {
        _resumeAt = resumeAt;
        return Incomplete;
    }

    private int Fail(string? what)
    {
        if (what is not null)
            ProtocolError = $"ERR Protocol error: {what}";
        return Incomplete;
    }

    private static char Printable(byte value) => (char)value;
}
