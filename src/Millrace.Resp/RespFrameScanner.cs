using System.Diagnostics;

namespace Millrace.Resp;

/// <summary>
/// Finds where a frame ends. Fed with every byte once, in chunks of any size; what it knows is kept between chunks, so a frame that arrives
/// in many reads costs no more than one that arrives whole. Allocates nothing after construction. Not thread-safe.
/// </summary>
/// <param name="limits">What a frame may ask for.</param>
public sealed class RespFrameScanner(RespLimits limits)
{
    // Longest number line: a sign, 19 digits. A leading zero or plus is not refused, so a little room.
    private const int MaxNumberChars = 24;

    private enum Stage : byte
    {
        Prefix,
        Number,     // The line holds a length, a count or an integer.
        Text,       // The line holds text, which is skipped.
        LineEnd,    // CR was read, LF must follow.
        Body,       // Bytes of a bulk string.
        BodyCr,
        BodyLf,
    }

    private struct Level
    {
        public int Left;            // Elements of this aggregate still to come.
        public bool IsAttribute;    // An attribute is no element: its end completes nothing.
    }

    private readonly Level[] _levels = new Level[limits.MaxDepth];
    private int _depth;
    private Stage _stage;
    private RespKind _kind;         // Of the element being scanned.
    private int _lineChars;         // Characters of the current line so far.
    private long _number;           // Value of the current number line so far, as a negative number: it has one value more.
    private bool _isNegative;
    private int _bodyLeft;          // Bytes of the current bulk string still to come.
    private long _frameBytes;       // Bytes of the frame so far.
    private int _elements = 1;      // Elements of the frame announced so far, the root included.

    /// <summary>Elements of the frame found last, on all levels, with the contents of attributes. Sizes a tree exactly.</summary>
    public int ElementCount { get; private set; }

    /// <summary>Whether part of a frame was read and its end is still to come.</summary>
    public bool IsInsideFrame => _frameBytes > 0;

    /// <summary>Goes on with bytes that follow those seen before.</summary>
    /// <param name="data">Bytes not seen before.</param>
    /// <param name="consumed">Bytes of <paramref name="data"/> that belong to this frame: all of them when it has not ended.</param>
    /// <returns>Whether the frame ends at <paramref name="consumed"/>. The next call starts a new frame.</returns>
    /// <exception cref="RespException">Not RESP, or above a limit. The scanner cannot be used any more.</exception>
    public bool TryFindEnd(ReadOnlySpan<byte> data, out int consumed)
    {
        var offset = 0;
        var isEnd = false;
        while (offset < data.Length && !isEnd)
            isEnd = TrySkipBulk(data, ref offset) ? EndElement() : Step(data, ref offset);

        consumed = offset;
        _frameBytes += offset;
        if (_frameBytes > limits.MaxFrameBytes)
            throw TooLarge("frame", limits.MaxFrameBytes);
        if (isEnd)
            EndFrame();
        return isEnd;
    }

    /// <summary>
    /// Skips a bulk string that lies whole before us, as nearly every element does. Anything else, what breaks a limit included, is left for
    /// <see cref="Step"/>.
    /// </summary>
    private bool TrySkipBulk(ReadOnlySpan<byte> data, ref int offset)
    {
        if (_stage != Stage.Prefix || data[offset] != (byte)RespKind.BulkString)
            return false;

        // Six digits are enough for all but the largest, and cannot overflow.
        var (at, length) = (offset + 1, 0);
        for (; at < data.Length && at - offset <= 6 && (uint)(data[at] - '0') <= 9; at++)
            length = (length * 10) + data[at] - '0';
        var end = at + 2 + length;
        if (at == offset + 1 || end + 2 > data.Length || length > limits.MaxBulkBytes || _frameBytes + end > limits.MaxFrameBytes)
            return false;
        if (data[at] != '\r' || data[at + 1] != '\n' || data[end] != '\r' || data[end + 1] != '\n')
            return false;
        offset = end + 2;
        return true;
    }

    private bool Step(ReadOnlySpan<byte> data, ref int offset)
    {
        switch (_stage)
        {
            case Stage.Prefix:
                StartElement(data[offset++]);
                return false;
            case Stage.Number:
                ReadNumberChar(data[offset++]);
                return false;
            case Stage.Text:
                SkipText(data, ref offset);
                return false;
            case Stage.LineEnd:
                Expect(data[offset++], (byte)'\n');
                return EndLine(offset);
            case Stage.Body:
                var skipped = Math.Min(_bodyLeft, data.Length - offset);
                offset += skipped;
                _bodyLeft -= skipped;
                if (_bodyLeft == 0)
                    _stage = Stage.BodyCr;
                return false;
            case Stage.BodyCr:
                Expect(data[offset++], (byte)'\r');
                _stage = Stage.BodyLf;
                return false;
            default:
                Expect(data[offset++], (byte)'\n');
                return EndElement();
        }
    }

    private void StartElement(byte prefix)
    {
        _kind = (RespKind)prefix;
        _stage = _kind switch
        {
            RespKind.SimpleString or RespKind.Error or RespKind.Double or RespKind.BigNumber or RespKind.Boolean
                or RespKind.Null => Stage.Text,
            RespKind.Integer or RespKind.BulkString or RespKind.BulkError or RespKind.VerbatimString or RespKind.Array or RespKind.Map
                or RespKind.Set or RespKind.Push or RespKind.Attribute => Stage.Number,
            _ => throw new RespException($"0x{prefix:X2} starts no RESP element."),
        };
        _lineChars = 0;
        _number = 0;
        _isNegative = false;
    }

    private void ReadNumberChar(byte character)
    {
        if (character == '\r')
        {
            if (_lineChars == 0 || (_lineChars == 1 && _isNegative))
                throw new RespException("A number has no digits.");
            _stage = Stage.LineEnd;
            return;
        }

        if (++_lineChars > MaxNumberChars)
            throw new RespException("A number is too long.");
        if (character == '-' && _lineChars == 1)
        {
            _isNegative = true;
            return;
        }

        var digit = character - '0';
        if ((uint)digit > 9)
            throw new RespException($"0x{character:X2} stands where a digit must.");
        if (_number < (long.MinValue + digit) / 10)
            throw new RespException("A number is out of range.");
        _number = (_number * 10) - digit;
    }

    private void SkipText(ReadOnlySpan<byte> data, ref int offset)
    {
        var rest = data[offset..];
        var end = rest.IndexOfAny((byte)'\r', (byte)'\n');
        var length = end < 0 ? rest.Length : end;
        _lineChars += length;
        if (_lineChars > limits.MaxLineBytes)
            throw TooLarge("line", limits.MaxLineBytes);
        offset += length;
        if (end < 0)
            return;

        Expect(data[offset++], (byte)'\r');
        _stage = Stage.LineEnd;
    }

    // offset: bytes of this chunk that count for the frame, the line included.
    private bool EndLine(int offset)
    {
        if (!_isNegative && _number == long.MinValue)
            throw new RespException("A number is out of range.");
        var number = _isNegative ? _number : -_number;
        switch (_kind)
        {
            case RespKind.BulkString or RespKind.BulkError or RespKind.VerbatimString when !IsNull(number):
                if (number > limits.MaxBulkBytes)
                    throw TooLarge("bulk string", limits.MaxBulkBytes);
                if (_frameBytes + offset + number > limits.MaxFrameBytes)
                    throw TooLarge("frame", limits.MaxFrameBytes);
                _bodyLeft = (int)number;
                _stage = _bodyLeft == 0 ? Stage.BodyCr : Stage.Body;
                return false;
            case RespKind.Array or RespKind.Set or RespKind.Push when !IsNull(number):
                return StartAggregate(number, isAttribute: false);
            case RespKind.Map or RespKind.Attribute when !IsNull(number):
                if (number > limits.MaxElements)
                    throw TooLarge("number of elements", limits.MaxElements);
                return StartAggregate(number * 2, isAttribute: _kind == RespKind.Attribute);
            default:
                return EndElement();
        }
    }

    // Only RESP2's null bulk string and null array are negative.
    private bool IsNull(long number)
    {
        if (number >= 0)
            return false;
        return number == -1 && _kind is RespKind.BulkString or RespKind.Array
            ? true
            : throw new RespException("A length or count is negative.");
    }

    private bool StartAggregate(long count, bool isAttribute)
    {
        _stage = Stage.Prefix;
        if (count == 0)
            return !isAttribute && EndElement();
        if (_depth == limits.MaxDepth)
            throw TooLarge("nesting", limits.MaxDepth);
        if (count > limits.MaxElements - _elements)
            throw TooLarge("number of elements", limits.MaxElements);

        _elements += (int)count;
        _levels[_depth++] = new() { Left = (int)count, IsAttribute = isAttribute };
        return false;
    }

    // Completes the element and every aggregate it is the last element of; true when that ends the frame.
    private bool EndElement()
    {
        _stage = Stage.Prefix;
        while (_depth > 0)
        {
            ref var level = ref _levels[_depth - 1];
            Debug.Assert(level.Left > 0, "An aggregate with nothing left was not closed.");
            if (--level.Left > 0)
                return false;
            _depth--;
            if (level.IsAttribute)
                return false;
        }

        return true;
    }

    private void EndFrame()
    {
        ElementCount = _elements;
        _frameBytes = 0;
        _elements = 1;
    }

    private static void Expect(byte actual, byte expected)
    {
        if (actual != expected)
            throw new RespException($"0x{actual:X2} stands where 0x{expected:X2} must.");
    }

    private static RespException TooLarge(string what, int limit) => new($"A {what} exceeds the limit of {limit:N0}.");
}
