using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Millrace.Resp;

/// <summary>
/// Walks the elements of one whole frame in the order of the wire: an aggregate first, then what it holds. Attributes are skipped.
/// Copies and allocates nothing. The frame should have passed a <see cref="RespFrameScanner"/>, which enforces the
/// limits; a damaged one ends in a
/// <see cref="RespException"/>, never in a read outside of it.
/// </summary>
public ref struct RespReader
{
    private readonly ReadOnlySpan<byte> _frame;
    private int _offset;

    /// <summary>Starts before the first element.</summary>
    /// <param name="frame">One whole frame, or several in a row.</param>
    public RespReader(ReadOnlySpan<byte> frame) => _frame = frame;

    /// <summary>Starts before the first element. Copies the frame when it spreads over several segments.</summary>
    /// <param name="frame">One whole frame, or several in a row.</param>
    public RespReader(in ReadOnlySequence<byte> frame)
        : this(frame.IsSingleSegment ? frame.FirstSpan : frame.ToArray())
    {
    }

    /// <summary>The type of the current element; <see cref="RespKind.Null"/> also for both nulls of RESP2.</summary>
    public RespKind Kind { get; private set; }

    /// <summary>The bytes of the current scalar, without framing; for a verbatim string without its format.</summary>
    public ReadOnlySpan<byte> Value { get; private set; }

    /// <summary>Offset of <see cref="Value"/> in the frame.</summary>
    public int ValueOffset { get; private set; }

    /// <summary>Elements the current aggregate holds: two for each pair of a map. Zero for a scalar.</summary>
    public int Count { get; private set; }

    /// <summary>Moves to the next element, into the current one if it is an aggregate.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="RespException">The bytes are cut off or not RESP.</exception>
    public bool TryRead()
    {
        while (_offset < _frame.Length)
        {
            ReadElement();
            if (Kind != RespKind.Attribute)
                return true;
            SkipElements(Count);
        }

        return false;
    }

    /// <summary>Moves behind everything the current element holds. Nothing for a scalar.</summary>
    /// <exception cref="RespException">The bytes are cut off or not RESP.</exception>
    public void SkipChildren() => SkipElements(Count);

    /// <summary>The current scalar as a number: an integer, a boolean (1 or 0), or a string of digits.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public readonly long GetInt64() => Kind != RespKind.Boolean ? ParseInt64(Value) : GetBoolean() ? 1 : 0;

    /// <summary>The current scalar as a floating point number: a double, an integer, or a string that holds one.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public readonly double GetDouble() => ParseDouble(Value);

    /// <summary>Reads a floating point number as RESP writes it, with <c>inf</c>, <c>-inf</c> and <c>nan</c>.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public static double ParseDouble(ReadOnlySpan<byte> text)
    {
        if (text.SequenceEqual("inf"u8))
            return double.PositiveInfinity;
        if (text.SequenceEqual("-inf"u8))
            return double.NegativeInfinity;
        if (text.SequenceEqual("nan"u8) || text.SequenceEqual("-nan"u8))
            return double.NaN;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new RespException("The value is no floating point number.");
    }

    /// <summary>Reads a whole number.</summary>
    /// <exception cref="RespException">It is none, or out of the range of 64 bits.</exception>
    public static long ParseInt64(ReadOnlySpan<byte> text) =>
        Utf8Parser.TryParse(text, out long number, out var length) && length == text.Length
            ? number
            : throw new RespException("The value is no whole number of 64 bits.");

    /// <summary>The current boolean.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public readonly bool GetBoolean() => Value switch
    {
        [(byte)'t'] => true,
        [(byte)'f'] => false,
        _ => throw new RespException($"A {Kind} is no boolean."),
    };

    /// <summary>The current scalar decoded as UTF-8. Allocates the string.</summary>
    public readonly string GetText() => Encoding.UTF8.GetString(Value);

    private void SkipElements(long left)
    {
        for (; left > 0; left--)
        {
            if (_offset == _frame.Length)
                throw CutOff();
            ReadElement();
            // An attribute is no element: it and its pairs come on top of what is left.
            left += Kind == RespKind.Attribute ? Count + 1L : Count;
        }

        Kind = RespKind.None;
        Value = default;
        Count = 0;
    }

    private void ReadElement()
    {
        Kind = (RespKind)_frame[_offset++];
        Count = 0;
        if (Kind == RespKind.BulkString && TryReadBulk())
            return;
        var line = ReadLine();
        switch (Kind)
        {
            case RespKind.SimpleString or RespKind.Error or RespKind.Integer or RespKind.Boolean or RespKind.Double or RespKind.BigNumber:
                SetValue(_offset - line.Length - 2, line.Length);
                break;
            case RespKind.Null:
                SetNull();
                break;
            case RespKind.BulkString or RespKind.BulkError or RespKind.VerbatimString:
                ReadBody(ReadLength(line));
                break;
            case RespKind.Array or RespKind.Set or RespKind.Push:
                SetCount(ReadLength(line));
                break;
            case RespKind.Map or RespKind.Attribute:
                SetCount(ReadLength(line) * 2L);
                break;
            default:
                throw new RespException($"0x{(byte)Kind:X2} starts no RESP element.");
        }
    }

    // A bulk string of fewer than a million bytes, as nearly every element is. What is not right is left for the long way.
    private bool TryReadBulk()
    {
        var (at, length) = (_offset, 0);
        for (; at < _frame.Length && at - _offset < 6 && (uint)(_frame[at] - '0') <= 9; at++)
            length = (length * 10) + _frame[at] - '0';
        var end = at + 2 + length;
        if (at == _offset || end + 2 > _frame.Length ||
            _frame[at] != '\r' || _frame[at + 1] != '\n' || _frame[end] != '\r' || _frame[end + 1] != '\n')
            return false;
        SetValue(at + 2, length);
        _offset = end + 2;
        return true;
    }

    private ReadOnlySpan<byte> ReadLine()
    {
        var length = _frame[_offset..].IndexOf("\r\n"u8);
        if (length < 0)
            throw CutOff();
        var line = _frame.Slice(_offset, length);
        _offset += length + 2;
        return line;
    }

    private static int ReadLength(ReadOnlySpan<byte> line) =>
        Utf8Parser.TryParse(line, out int length, out var digits) && digits == line.Length && length >= -1
            ? length
            : throw new RespException("A length or count is not a number in range.");

    private void ReadBody(int length)
    {
        if (length < 0)
        {
            SetNull();
            return;
        }

        if (length > _frame.Length - _offset - 2)
            throw CutOff();
        SetValue(_offset, length);
        _offset += length;
        if (!_frame.Slice(_offset, 2).SequenceEqual("\r\n"u8))
            throw new RespException("A bulk string does not end with CR LF.");
        _offset += 2;

        // "txt:" or "mkd:" in front of a verbatim string.
        if (Kind == RespKind.VerbatimString && length >= 4 && Value[3] == ':')
            SetValue(ValueOffset + 4, length - 4);
    }

    private void SetCount(long count)
    {
        if (count < 0)
        {
            SetNull();
            return;
        }

        // An element takes three bytes at least, so a count that cannot be true is not believed.
        if (count > (_frame.Length - _offset) / 3)
            throw CutOff();
        Count = (int)count;
        SetValue(_offset, 0);
    }

    private void SetValue(int offset, int length)
    {
        ValueOffset = offset;
        Value = _frame.Slice(offset, length);
    }

    private void SetNull()
    {
        Kind = RespKind.Null;
        SetValue(_offset, 0);
    }

    private static RespException CutOff() => new("A frame is cut off.");
}
