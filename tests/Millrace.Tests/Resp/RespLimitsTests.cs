using System.Globalization;
using System.Text;
using Millrace.Resp;

namespace Millrace.Tests.Resp;

public sealed class RespLimitsTests
{
    private static readonly RespLimits Small =
        new() { MaxFrameBytes = 100, MaxBulkBytes = 50, MaxElements = 10, MaxDepth = 3, MaxLineBytes = 20 };

    public static TheoryData<string, string> AtTheLimit => new()
    {
        { "bulk string", $"$50\r\n{new string('a', 50)}\r\n" },
        { "line", $"+{new string('a', 20)}\r\n" },
        { "nesting", "*1\r\n*1\r\n*1\r\n:1\r\n" },
        { "elements", "*9\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n" },
        { "frame", $"*2\r\n$50\r\n{new string('a', 50)}\r\n$28\r\n{new string('a', 28)}\r\n" },
    };

    [Theory]
    [MemberData(nameof(AtTheLimit))]
    public void Frame_at_a_limit_passes_in_any_chunks(string limit, string wire)
    {
        foreach (var chunks in RespFrames.Chunkings(Encoding.UTF8.GetBytes(wire)))
            Assert.True(RespFrames.Scan(new(Small), chunks).Count == 1, limit);
    }

    public static TheoryData<string, string> AboveTheLimit => new()
    {
        { "bulk string", "$51\r\n" },
        { "bulk string", "*1\r\n!51\r\n" },
        { "line", $"+{new string('a', 21)}" },
        { "line", $"-{new string('a', 21)}" },
        { "nesting", "*1\r\n*1\r\n*1\r\n*1\r\n" },
        { "nesting", "*1\r\n%1\r\n:1\r\n~1\r\n|1\r\n" },
        { "number of elements", "*10\r\n" },
        { "number of elements", "%5\r\n" },
        { "number of elements", "*4\r\n:1\r\n*6\r\n" },
        { "number of elements", "|4611686018427387903\r\n" },
        { "frame", $"*2\r\n$50\r\n{new string('a', 50)}\r\n$49\r\n" },
    };

    [Theory]
    [MemberData(nameof(AboveTheLimit))]
    public void Header_above_a_limit_is_refused_before_its_content_in_any_chunks(string limit, string wire)
    {
        foreach (var chunks in RespFrames.Chunkings(Encoding.UTF8.GetBytes(wire)))
        {
            var scanner = new RespFrameScanner(Small);
            var exception = Assert.Throws<RespException>(() =>
            {
                foreach (var chunk in chunks)
                    Assert.False(scanner.TryFindEnd(chunk, out _));
            });
            Assert.Contains(limit, exception.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Scanner_allocates_nothing_for_what_a_header_announces()
    {
        var scanner = new RespFrameScanner(RespLimits.Default);
        var header = Encoding.UTF8.GetBytes("*4000000\r\n");
        scanner.TryFindEnd(":1\r\n"u8, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();

        scanner.TryFindEnd(header, out _);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Scanner_sees_each_byte_once_however_many_reads_a_frame_takes()
    {
        // A megabyte in single bytes takes milliseconds when it is scanned once, and an hour when each read starts over.
        const int Length = 1_000_000;
        var scanner = new RespFrameScanner(RespLimits.Default);
        var wire = Encoding.UTF8.GetBytes($"$1000000\r\n{new string('a', Length)}\r\n");

        var ends = 0;
        for (var i = 0; i < wire.Length; i++)
            ends += scanner.TryFindEnd(wire.AsSpan(i, 1), out _) ? 1 : 0;

        Assert.Equal(1, ends);
        Assert.False(scanner.IsInsideFrame);
    }

    [Fact]
    public void Scanner_counts_the_elements_of_each_frame_anew()
    {
        var scanner = new RespFrameScanner(Small);
        foreach (var count in new[] { 9, 1, 5 })
        {
            var wire = $"*{count.ToString(CultureInfo.InvariantCulture)}\r\n{string.Concat(Enumerable.Repeat(":1\r\n", count))}";
            Assert.True(scanner.TryFindEnd(Encoding.UTF8.GetBytes(wire), out _));
            Assert.Equal(count + 1, scanner.ElementCount);
        }
    }
}
