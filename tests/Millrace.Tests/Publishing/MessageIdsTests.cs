using Millrace.Messages;

namespace Millrace.Tests.Publishing;

public sealed class MessageIdsTests
{
    [Fact]
    public void Ids_are_distinct_of_version_7_and_say_when()
    {
        var now = new DateTimeOffset(2026, 11, 21, 18, 4, 5, 678, TimeSpan.FromHours(2));
        var ids = Enumerable.Range(0, 1_000).Select(_ => MessageIds.Next(now)).ToList();

        Assert.Equal(ids.Count, ids.Distinct().Count());
        Assert.All(ids, id =>
        {
            Assert.Equal((7, true), (id.Version, id.Variant is >= 8 and <= 11));
            var milliseconds = Convert.ToInt64(id.ToString("N")[..12], 16);
            Assert.Equal(now.ToUnixTimeMilliseconds(), milliseconds);
        });
    }
}
