using System.Buffers;
using System.Text;
using Millrace.Redis.Connections;
using Millrace.Resp;

namespace Millrace.Tests.Resp;

/// <summary>The scanner, the reader and the reply tree over the same frames, in all two-way splits and byte by byte.</summary>
public sealed class RespParsingTests
{
    public static TheoryData<string, string> Frames => new()
    {
        { "+OK\r\n", "+OK" },
        { "+\r\n", "+" },
        { "-ERR no\r\n", "-ERR no" },
        { ":0\r\n", ":0" },
        { ":-1\r\n", ":-1" },
        { ":9223372036854775807\r\n", ":9223372036854775807" },
        { ":-9223372036854775808\r\n", ":-9223372036854775808" },
        { "$0\r\n\r\n", "\"\"" },
        { "$5\r\nhello\r\n", "\"hello\"" },
        { "$4\r\n\r\n\r\n\r\n", "\"\r\n\r\n\"" },
        { "$-1\r\n", "_" },
        { "*-1\r\n", "_" },
        { "_\r\n", "_" },
        { "#t\r\n", "#t" },
        { "#f\r\n", "#f" },
        { ",1.5\r\n", ",1.5" },
        { ",-inf\r\n", ",-Infinity" },
        { ",inf\r\n", ",Infinity" },
        { ",nan\r\n", ",NaN" },
        { ",10\r\n", ",10" },
        { "(3492890328409238509324850943850943825024385\r\n", "(3492890328409238509324850943850943825024385" },
        { "!8\r\nERR a\r\nb\r\n", "!ERR a\r\nb" },
        { "=8\r\ntxt:text\r\n", "=text" },
        { "=4\r\nmkd:\r\n", "=" },
        { "*0\r\n", "[]" },
        { "%0\r\n", "{}" },
        { "~0\r\n", "~[]" },
        { "*2\r\n:1\r\n$1\r\na\r\n", "[:1 \"a\"]" },
        { "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n", "{+a :1 +b [_]}" },
        { "~2\r\n:1\r\n:2\r\n", "~[:1 :2]" },
        { ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", ">[\"message\" \"c\" \"m\"]" },
        { "*3\r\n*0\r\n*1\r\n*0\r\n*-1\r\n", "[[] [[]] _]" },
        { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+deep\r\n", "[[[[[+deep]]]]]" },
        { "|1\r\n+ttl\r\n:1\r\n:5\r\n", ":5" },
        { "|0\r\n:5\r\n", ":5" },
        { "|1\r\n+a\r\n*2\r\n:1\r\n:2\r\n|1\r\n+b\r\n:1\r\n*1\r\n:5\r\n", "[:5]" },
        { "*2\r\n|1\r\n+a\r\n%1\r\n+b\r\n+c\r\n:1\r\n:2\r\n", "[:1 :2]" },
        { "*1\r\n|1\r\n|1\r\n+x\r\n+y\r\n+a\r\n:1\r\n:2\r\n", "[:2]" },
        { "*1\r\n*2\r\n$6\r\norders\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", "[[\"orders\" [[\"1-0\" [\"f\" \"v\"]]]]]" },
    };

    [Theory]
    [MemberData(nameof(Frames))]
    public void Frame_in_any_chunks_reads_the_same(string wire, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(wire);
        foreach (var chunks in RespFrames.Chunkings(bytes))
        {
            var frame = Assert.Single(RespFrames.Scan(new(RespLimits.Default), chunks));
            Assert.Equal(expected, RespFrames.Describe(frame));
        }
    }

    [Theory]
    [MemberData(nameof(Frames))]
    public void Frames_in_a_row_are_told_apart_in_any_chunks(string wire, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(wire + wire + ":7\r\n");
        foreach (var chunks in RespFrames.Chunkings(bytes))
            Assert.Equal([expected, expected, ":7"], RespFrames.Scan(new(RespLimits.Default), chunks).Select(RespFrames.Describe));
    }

    [Theory]
    [MemberData(nameof(Frames))]
    public void Frame_cut_off_anywhere_is_refused_by_the_reader(string wire, string expected)
    {
        Assert.NotEmpty(expected);
        var bytes = Encoding.UTF8.GetBytes(wire);
        for (var length = 1; length < bytes.Length; length++)
            Assert.Throws<RespException>(() => ReadAll(bytes[..length]));
    }

    [Theory]
    [MemberData(nameof(Frames))]
    public void Reply_has_exactly_the_elements_the_scanner_counted_or_fewer(string wire, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(wire);
        var scanner = new RespFrameScanner(RespLimits.Default);
        Assert.True(scanner.TryFindEnd(bytes, out _));

        var reply = RespReply.Copy(bytes, scanner.ElementCount);

        Assert.Equal(expected.Count(c => c == '[') > 0 || expected.StartsWith('{'), reply.IsAggregate);
        if (!wire.Contains('|', StringComparison.Ordinal))
            Assert.Throws<RespException>(() => RespReply.Copy(bytes, scanner.ElementCount - 1));
    }

    [Theory]
    [MemberData(nameof(Frames))]
    public void Frame_in_a_sequence_of_segments_reads_the_same(string wire, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(wire);
        var first = new Segment(bytes.AsMemory(0, bytes.Length / 2), 0);
        var last = first.Append(bytes.AsMemory(bytes.Length / 2));
        var reader = new RespReader(new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length));

        Assert.True(reader.TryRead());
        reader.SkipChildren();
        Assert.False(reader.TryRead());
        Assert.NotEmpty(expected);
    }

    public static TheoryData<string> Malformed => new()
    {
        "x\r\n", "\r\n", "\n", "@1\r\n", "\0",
        ":\r\n", ":-\r\n", ":a\r\n", ":1a\r\n", ":--1\r\n", ":1-\r\n", ": 1\r\n", ":9223372036854775808\r\n", ":-9223372036854775809\r\n",
        ":1111111111111111111111111\r\n", ":1\n", ":1\rx",
        "$\r\n", "$-2\r\n", "$a\r\n", "$1\r\nab\r\n", "$1\r\na\n\n", "$1\r\na\rx", "$?\r\n",
        "*-2\r\n", "*a\r\n", "*?\r\n", "%-1\r\n", "~-1\r\n", ">-1\r\n", "|-1\r\n", "!-1\r\n", "=-1\r\n",
        "+a\n", "+a\rb", "-a\nb\r\n", "*1\r\nx", "*2\r\n:1\r\n\r\n",
        "$9223372036854775807\r\n", "*9223372036854775807\r\n", "%4611686018427387904\r\n", "*4194304\r\n", "%2097152\r\n", "$16777217\r\n",
        "$67108865\r\n", "HTTP/1.1 400 Bad Request\r\n",
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public void Bytes_that_are_not_resp_are_refused_in_any_chunks(string wire)
    {
        foreach (var chunks in RespFrames.Chunkings(Encoding.UTF8.GetBytes(wire)))
        {
            var scanner = new RespFrameScanner(RespLimits.Default);
            Assert.Throws<RespException>(() =>
            {
                foreach (var chunk in chunks)
                    Assert.False(scanner.TryFindEnd(chunk, out _));
            });
        }
    }

    [Theory]
    [MemberData(nameof(Malformed))]
    public void Bytes_that_are_not_resp_never_make_the_reader_read_outside(string wire)
    {
        try
        {
            ReadAll(Encoding.UTF8.GetBytes(wire));
        }
        catch (RespException)
        {
            // The reader refuses less than the scanner, but only ever with this.
        }
    }

    private static void ReadAll(byte[] bytes)
    {
        var reader = new RespReader(bytes);
        var left = 1L;
        for (; left > 0; left--)
        {
            if (!reader.TryRead())
                throw new RespException("Cut off.");
            left += reader.Count;
        }
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long runningIndex)
        {
            Memory = memory;
            RunningIndex = runningIndex;
        }

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
