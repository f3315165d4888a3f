using Millrace.Server.Connections;

namespace Millrace.Tests.Server;

public sealed class OutputBufferTests
{
    [Fact]
    public void Writes_above_the_limit_go_nowhere_and_cost_no_memory()
    {
        const int LimitBytes = 1024 * 1024;
        var buffer = new OutputBuffer { LimitBytes = LimitBytes };
        var piece = new byte[64 * 1024];
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 16; i++)
            buffer.WriteRaw(piece);
        Assert.False(buffer.IsOverfull);
        Assert.Equal(LimitBytes, buffer.Length);

        for (var i = 0; i < 10_000; i++)
            buffer.WriteRaw(piece);

        Assert.True(buffer.IsOverfull);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, LimitBytes, 4 * LimitBytes);
    }

    [Fact]
    public void Reply_that_is_taken_back_after_it_was_too_much_leaves_the_buffer_usable()
    {
        var buffer = new OutputBuffer { LimitBytes = 10_000 };
        buffer.WriteRaw(new byte[9_000]);
        buffer.WriteRaw(new byte[2_000]);
        buffer.Truncate(9_000);
        buffer.WriteErrorLine("ERR this one is written to a client that will never see it");

        Assert.True(buffer.IsOverfull);
    }
}
