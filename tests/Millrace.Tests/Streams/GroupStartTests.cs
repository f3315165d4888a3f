using Millrace.Streams;

namespace Millrace.Tests.Streams;

public sealed class GroupStartTests
{
    [Fact]
    public void Start_is_read_from_a_word_an_id_or_a_time()
    {
        var time = new DateTimeOffset(2026, 11, 21, 10, 0, 0, TimeSpan.Zero);

        Assert.Equal(GroupStart.Beginning, GroupStart.Parse("beginning"));
        Assert.Equal(GroupStart.Now, GroupStart.Parse("NOW"));
        Assert.Equal(GroupStart.After(new(17, 3)), GroupStart.Parse("17-3"));
        Assert.Equal(GroupStart.Time(time), GroupStart.Parse("2026-11-21T10:00:00Z"));
        Assert.Equal(GroupStart.Time(time), GroupStart.Parse("2026-11-21T10:00:00"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("$")]
    [InlineData("soon")]
    public void Start_that_is_none_is_refused_with_what_it_may_be(string text)
    {
        Assert.False(GroupStart.TryParse(text, out _));
        var error = Assert.Throws<FormatException>(() => GroupStart.Parse(text));
        Assert.Contains("neither Beginning, Now, an entry ID nor a time", error.Message, StringComparison.Ordinal);
    }
}
