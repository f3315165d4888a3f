using System.Text;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine;

public sealed class ReplayBuffersTests
{
    [Fact]
    public void Name_is_told_right_when_many_share_the_places()
    {
        var buffers = new ReplayBuffers();
        byte[][] names =
        [
            .. Enumerable.Range(0, 2_000).Select(number => Encoding.UTF8.GetBytes($"stream:{number}")),
            [], [0xFF], [0xC3, 0xA9], Encoding.UTF8.GetBytes(new string('n', 64)), Encoding.UTF8.GetBytes(new string('n', 65)),
        ];
        for (var turn = 0; turn < 2; turn++)
        {
            foreach (var name in names)
                Assert.Equal(Millrace.Streams.Names.KeyText.Decode(name), buffers.Name(name));
        }
    }

    [Fact]
    public void Name_named_again_is_the_same_string()
    {
        var buffers = new ReplayBuffers();
        Assert.Same(buffers.Name("orders"u8), buffers.Name("orders"u8));
    }

    [Fact]
    public void Copy_of_a_large_record_is_whole_and_not_kept_for_small_ones()
    {
        var buffers = new ReplayBuffers();
        foreach (var size in new[] { 0, 1, 1_024, 1_025, 3_000_000, 10 })
        {
            var record = new byte[size];
            new Random(size).NextBytes(record);
            Assert.Equal(record, buffers.Copy(record).ToArray());
        }
    }
}
