using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>XADD.</summary>
internal static partial class StreamCommands
{
    private const string TooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item";

    /// <summary>What an XADD asks for in the place of the ID.</summary>
    private enum NewId
    {
        /// <summary><c>*</c>.</summary>
        Next,

        /// <summary><c>ms-*</c>.</summary>
        NextOfMillisecond,

        /// <summary><c>ms-seq</c>, or <c>ms</c> for <c>ms-0</c>.</summary>
        Given,
    }

    private static void Add(ref CommandCall call)
    {
        var trimming = new TrimArguments();
        var producer = new ProducerArguments();
        var (mayCreate, at) = (true, 2);
        var (kind, id) = (NewId.Next, EntryId.Zero);
        for (; at < call.Count && call[at] is not [(byte)'*']; at++)
        {
            if (trimming.TryRead(call, ref at, out var isError) || producer.TryRead(call, ref at, out isError))
            {
                if (isError)
                    return;
            }
            else if (call.Is(at, "NOMKSTREAM"u8))
            {
                mayCreate = false;
            }
            else if (TryNewId(call[at], out kind, out id))
            {
                break;
            }
            else
            {
                call.Error(IdArguments.Invalid);
                return;
            }
        }

        if (producer.IsGiven && kind != NewId.Next)
        {
            call.Error("ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs");
            return;
        }

        if (!trimming.TryFinish(call, isRequired: false, out var trim))
            return;
        if (call.Count - at < 3 || (call.Count - at) % 2 == 0)
        {
            call.WrongArity();
            return;
        }

        if (kind == NewId.Given && id == EntryId.Zero)
        {
            call.Error("ERR The ID specified in XADD must be greater than 0-0");
            return;
        }

        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (stream is null && !mayCreate)
            call.Reply.WriteNull();
        else if (TryResolve(call, kind, id, stream?.LastGeneratedId ?? EntryId.Zero, out var resolved))
            Append(call, stream?.Key ?? call.Text(1), at + 1, trim, resolved, producer);
    }

    private static bool TryNewId(ReadOnlySpan<byte> text, out NewId kind, out EntryId id)
    {
        kind = NewId.Given;
        if (!text.EndsWith("-*"u8))
            return IdArguments.TryParse(text, 0, out id);
        kind = NewId.NextOfMillisecond;
        var isNumber = IdArguments.TryParseNumber(text[..^2], out var milliseconds);
        id = new(milliseconds, 0);
        return isNumber;
    }

    /// <summary>The ID to append with, or null for the next one; otherwise the error is written.</summary>
    private static bool TryResolve(in CommandCall call, NewId kind, EntryId id, EntryId last, out EntryId? resolved)
    {
        resolved = null;
        if (last == EntryId.Max)
        {
            call.Error("ERR The stream has exhausted the last possible ID, unable to add more items");
            return false;
        }

        if (kind == NewId.Next)
            return true;
        if (kind == NewId.NextOfMillisecond && id.Milliseconds == last.Milliseconds && last.Sequence < ulong.MaxValue)
            id = last.Next();
        resolved = id;
        if (id > last)
            return true;
        call.Error(TooSmall);
        return false;
    }

    /// <summary>Packs the fields into a buffer of the server's, from which the engine copies them, so that an entry allocates nothing here.</summary>
    private static void Append(in CommandCall call, string key, int firstField, in TrimRequest trim, EntryId? id, in ProducerArguments producer)
    {
        long size = 0;
        for (var i = firstField; i < call.Count; i++)
            size += call[i].Length + Varint.MaxLength;
        var buffer = call.Server.GetScratchNeedsLock(checked((int)size));
        var length = 0;
        for (var i = firstField; i < call.Count; i++)
        {
            var part = call[i];
            length += Varint.Write(buffer.AsSpan(length), (ulong)part.Length);
            part.CopyTo(buffer.AsSpan(length));
            length += part.Length;
        }

        var fields = EntryFields.FromTrusted(buffer.AsMemory(0, length), (call.Count - firstField) / 2);
        call.WriteId(producer.Append(call, new(key, fields, trim, id)));
    }
}
