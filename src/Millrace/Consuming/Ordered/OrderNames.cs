using System.Security.Cryptography;
using System.Text;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>What an ordered group keeps beside its stream, by name. All of it lies in the slot of the stream.</summary>
internal sealed class OrderNames
{
    private readonly string _stream;
    private readonly string _group;

    /// <param name="stream">The stream the group reads.</param>
    /// <param name="group">The group.</param>
    /// <exception cref="ArgumentException">A name is empty, has stray braces, or is too long to derive the others from.</exception>
    public OrderNames(string stream, string group)
    {
        StreamArguments.CheckGroup(stream, group);
        (_stream, _group) = (stream, group);
        Reader = new(stream, $"millrace/reader/{group}");
        Pulse = new(stream, $"millrace/pulse/{group}");
        Log = StreamNames.Order(stream, group);
        StreamArguments.CheckName(StreamNames.State(Parked("")), nameof(group));
        StreamArguments.CheckName(Log, nameof(group));
    }

    /// <summary>The document that says who reads. Written when that changes, and a condition of everything the reader writes.</summary>
    public StateKey Reader { get; }

    /// <summary>The document that the reader writes anew to show that it lives. Apart, so that a renewal breaks no commit under way.</summary>
    public StateKey Pulse { get; }

    /// <summary>The stream of notes: which keys are parked, what operators ask for, and that the reader has left.</summary>
    public string Log { get; }

    /// <summary>The document of a parked key. Keys may be of any length; the document tells which it is.</summary>
    public StateKey Parked(string key) =>
        new(_stream, $"millrace/parked/{_group}/{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)).AsSpan(0, 16))}");
}
