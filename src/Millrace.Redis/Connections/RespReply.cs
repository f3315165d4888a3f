using System.Buffers;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Millrace.Resp;

namespace Millrace.Redis.Connections;

/// <summary>
/// An element of a reply, with everything below it. RESP2 and RESP3 look alike: both nulls are <see cref="RespKind.Null"/>, a verbatim
/// string is a bulk string, a bulk error an error, a set an array; a map holds its pairs flat, as RESP2 sends it.
/// </summary>
/// <remarks>
/// A reply costs two arrays whatever its size, and so do the replies of many commands sent together: a copy of the frames, which values refer
/// to, and a table with 16 bytes per element in the order of the wire, each knowing where its next sibling is:
/// <code>
/// *2 [ $3 "1-0"  *2 [ $1 "a" $1 "b" ] ]   →   0: Array 2 next 5 │ 1: "1-0" next 2 │ 2: Array 2 next 5 │ 3: "a" next 4 │ 4: "b" next 5
/// </code>
/// The garbage collector owns the arrays, so that values may be kept. Large ones come from a pool, and whoever keeps nothing of the reply gives
/// them back with <see cref="Release"/>: as large objects they would cost a full collection every few reads.
/// </remarks>
[DebuggerDisplay("{ToString(),nq}")]
public readonly struct RespReply
{
    // From here on an array is rented. Well below what the garbage collector takes for a large object.
    private const int RentedBytes = 64 * 1024;

    private readonly byte[]? _frame;
    private readonly Node[]? _nodes;
    private readonly int _index;

    private RespReply(byte[] frame, Node[] nodes, int index)
    {
        _frame = frame;
        _nodes = nodes;
        _index = index;
    }

    private readonly record struct Node(RespKind Kind, int Offset, int Length, int Next);

    /// <summary>Null, Error, SimpleString, BulkString, Integer, Boolean, Double, BigNumber, Array, Map or Push.</summary>
    public RespKind Kind => _nodes is null ? RespKind.Null : _nodes[_index].Kind;

    /// <summary>Whether there is no value: either null of RESP2, or RESP3's.</summary>
    public bool IsNull => Kind == RespKind.Null;

    /// <summary>Whether the server refused the command.</summary>
    public bool IsError => Kind == RespKind.Error;

    /// <summary>Whether it has elements.</summary>
    public bool IsAggregate => Kind is RespKind.Array or RespKind.Map or RespKind.Push;

    /// <summary>The value of a scalar; empty for null and aggregates. May be kept, unless the reply is released.</summary>
    public ReadOnlyMemory<byte> Bytes =>
        IsAggregate || _nodes is null ? default : _frame.AsMemory(_nodes[_index].Offset, _nodes[_index].Length);

    /// <summary>The value of a scalar; empty for null and aggregates.</summary>
    public ReadOnlySpan<byte> Span => Bytes.Span;

    /// <summary>Elements of an aggregate, two for each pair of a map. Zero otherwise.</summary>
    public int Count => IsAggregate ? _nodes![_index].Length : 0;

    /// <summary>The value decoded as UTF-8. Allocates.</summary>
    public string Text => Encoding.UTF8.GetString(Span);

    /// <summary>An integer, a boolean as 1 or 0, or a string of digits.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public long Integer => Kind != RespKind.Boolean ? RespReader.ParseInt64(Span) : Span is [(byte)'t'] ? 1 : 0;

    /// <summary>A double, an integer, or a string that holds one.</summary>
    /// <exception cref="RespException">It is none.</exception>
    public double Double => RespReader.ParseDouble(Span);

    /// <summary>The first word of an error, which says what kind it is. Empty for anything else.</summary>
    public ReadOnlySpan<byte> ErrorCode
    {
        get
        {
            if (!IsError)
                return default;
            var end = Span.IndexOf((byte)' ');
            return end < 0 ? Span : Span[..end];
        }
    }

    /// <summary>An element of an aggregate. Walks over its predecessors: use the enumerator for more than a few.</summary>
    public RespReply this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
            var node = _index + 1;
            for (; index > 0; index--)
                node = _nodes![node].Next;
            return new(_frame!, _nodes!, node);
        }
    }

    /// <summary>The elements of an aggregate in order; none for null and scalars. Allocates nothing.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>Finds a value by its key in a map, or in the flat array RESP2 sends instead.</summary>
    public bool TryGet(ReadOnlySpan<byte> key, out RespReply value)
    {
        var isKey = true;
        var isFound = false;
        foreach (var element in this)
        {
            if (isFound)
            {
                value = element;
                return true;
            }

            isFound = isKey && element.Span.SequenceEqual(key);
            isKey = !isKey;
        }

        value = default;
        return false;
    }

    /// <summary>
    /// The pairs of an answer such as XREAD's: a map in RESP3, an array of two-element arrays in RESP2. A flat array counts as well.
    /// </summary>
    internal PairEnumerable Pairs => new(this);

    /// <summary>The kind and value, or the count of elements, for the debugger.</summary>
    public override string ToString() => Kind switch
    {
        RespKind.Null => "null",
        RespKind.Array or RespKind.Map or RespKind.Push => $"{Kind} of {Count}",
        _ => $"{Kind} '{Text}'",
    };

    /// <summary>Copies a whole frame out of a receive buffer.</summary>
    /// <param name="frame">The frame. A <see cref="RespFrameScanner"/> has found its end, so its depth is bounded.</param>
    /// <param name="elementCount">Elements of the frame or more, as the scanner counted them.</param>
    /// <exception cref="RespException">Not a whole frame.</exception>
    internal static RespReply Copy(ReadOnlySpan<byte> frame, int elementCount)
    {
        RespReply reply = default;
        CopyMany(frame, elementCount, new(ref reply));
        return reply;
    }

    /// <summary>Copies whole frames, one for each reply, see <see cref="Copy"/>.</summary>
    internal static void CopyMany(ReadOnlySpan<byte> frames, int elementCount, Span<RespReply> replies)
    {
        var (copy, nodes) = (NewArray<byte>(frames.Length), NewArray<Node>(elementCount));
        frames.CopyTo(copy);
        var reader = new RespReader(copy.AsSpan(0, frames.Length));
        var count = 0;
        foreach (ref var reply in replies)
        {
            reply = new(copy, nodes, count);
            AddElement(ref reader, nodes, ref count);
        }
    }

    /// <summary>
    /// Gives the memory of a reply back, and with it that of all replies that came together. Nothing of it may be used any more: not the reply, nor
    /// an element, nor a value. It may be left out: what is not given back is collected.
    /// </summary>
    internal void Release()
    {
        Return(_frame);
        Return(_nodes);
    }

    private static T[] NewArray<T>(int length) => length * Unsafe.SizeOf<T>() < RentedBytes ? new T[length] : ArrayPool<T>.Shared.Rent(length);

    private static void Return<T>(T[]? array)
    {
        if (array is not null && array.Length * Unsafe.SizeOf<T>() >= RentedBytes)
            ArrayPool<T>.Shared.Return(array);
    }

    // Recursive: the scanner bounds the depth.
    private static void AddElement(ref RespReader reader, Node[] nodes, ref int count)
    {
        if (!reader.TryRead() || count == nodes.Length)
            throw new RespException("A frame is cut off.");

        var index = count++;
        var kind = Normalize(reader.Kind);
        var offset = reader.ValueOffset;
        var children = reader.Count;
        var length = kind is RespKind.Array or RespKind.Map or RespKind.Push ? children : reader.Value.Length;
        for (var i = 0; i < children; i++)
            AddElement(ref reader, nodes, ref count);
        nodes[index] = new(kind, offset, length, count);
    }

    private static RespKind Normalize(RespKind kind) => kind switch
    {
        RespKind.VerbatimString => RespKind.BulkString,
        RespKind.BulkError => RespKind.Error,
        RespKind.Set => RespKind.Array,
        _ => kind,
    };

    /// <summary>Walks the elements.</summary>
    public struct Enumerator
    {
        private readonly RespReply _parent;
        private int _left;
        private int _next;

        internal Enumerator(RespReply parent)
        {
            _parent = parent;
            _left = parent.Count;
            _next = parent._index + 1;
        }

        /// <summary>The element at hand.</summary>
        public RespReply Current { get; private set; }

        /// <summary>Moves to the next element.</summary>
        public bool MoveNext()
        {
            if (_left-- <= 0)
                return false;
            Current = new(_parent._frame!, _parent._nodes!, _next);
            _next = _parent._nodes![_next].Next;
            return true;
        }
    }

    internal readonly struct PairEnumerable(RespReply parent)
    {
        public PairEnumerator GetEnumerator() => new(parent);
    }

    internal struct PairEnumerator(RespReply parent)
    {
        private Enumerator _elements = parent.GetEnumerator();

        public (RespReply Key, RespReply Value) Current { get; private set; }

        public bool MoveNext()
        {
            if (!_elements.MoveNext())
                return false;

            // A key is a scalar; an aggregate in its place is a pair by itself.
            var key = _elements.Current;
            if (key is { IsAggregate: true, Count: 2 })
            {
                Current = (key[0], key[1]);
                return true;
            }

            if (!_elements.MoveNext())
                throw new RespException("A key has no value.");
            Current = (key, _elements.Current);
            return true;
        }
    }
}
