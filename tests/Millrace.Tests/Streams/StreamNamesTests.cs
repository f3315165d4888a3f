using Millrace.Streams;

namespace Millrace.Tests.Streams;

public sealed class StreamNamesTests
{
    [Theory]
    [InlineData("orders", "{orders}:dead:billing")]
    [InlineData("user:{123}:events", "user:{123}:events:dead:billing")]
    public void DeadLetters_of_a_stream_share_its_hash_slot(string stream, string expected) =>
        Assert.Equal(expected, StreamNames.DeadLetters(stream, "billing"));

    [Theory]
    [InlineData("orders")]
    [InlineData("user:{123}:events")]
    public void Again_of_a_private_stream_is_itself(string stream)
    {
        var again = StreamNames.Again(stream, "billing");
        Assert.Equal(again, StreamNames.Again(again, "billing"));
        Assert.Equal(StreamNames.DeadLetters(stream, "billing"), StreamNames.DeadLetters(again, "billing"));
    }

    [Theory]
    [InlineData("or{ders")]
    [InlineData("orders}")]
    [InlineData("{}orders")]
    [InlineData("{orders}")] // Derives what "orders" does.
    public void Derive_of_a_name_without_names_of_its_own_is_refused(string stream) =>
        Assert.Throws<ArgumentException>(() => StreamNames.Derive(stream, "dead"));
}
