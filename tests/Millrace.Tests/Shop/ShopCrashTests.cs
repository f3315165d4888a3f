using System.Collections.Concurrent;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Shop;

/// <summary>The Shop killed in mid-flight, as <c>kill -9</c> does, and started again on the same data.</summary>
public sealed class ShopCrashTests
{
    private const int AnswersBeforeKill = 150;

    [Theory]
    [InlineData("embedded")]
    [InlineData("redis")]
    public async Task Every_answered_order_is_there_after_a_kill_and_settles_once(string store)
    {
        using var directory = new ShopDirectory();
        await using var redis = store == "redis" ? await RedisServer.StartAsync() : null;
        string[] arguments = redis is null ? ["--data", directory.Data] : ["--data", directory.Data, "--redis", redis.Endpoint];

        var answered = await PlaceUntilKilledAsync(directory, arguments);
        await using var shop = await ShopProcess.OpenAsync(directory.Path, arguments);
        using var client = new ShopClient(shop.Address);
        var ends = await client.WaitForEndsAsync(answered);
        await client.WaitForAsync(answered, order => order.TryGetProperty("mail", out _));

        Assert.True(answered.Count >= AnswersBeforeKill);
        Assert.All(ends.Values, end => Assert.Equal("completed", end));
        Assert.Equal("completed", (await client.GetAsync($"/orders/{answered.First()}")).GetProperty("status").GetString());
        Assert.Equal(0, await shop.InterruptAsync());
        var mails = directory.ReadEndMails();
        Assert.All(answered, order => Assert.True(mails[order] == 1, $"{order} was told its end {mails[order]} times."));
    }

    private static async Task<IReadOnlyCollection<string>> PlaceUntilKilledAsync(ShopDirectory directory, string[] arguments)
    {
        await using var shop = await ShopProcess.OpenAsync(directory.Path, arguments);
        using var client = new ShopClient(shop.Address);
        var answered = new ConcurrentBag<string>();
        var enough = new TaskCompletionSource();
        async Task PlaceAsync()
        {
            try
            {
                while (true)
                {
                    answered.Add(await client.PlaceAsync("tea", 1));
                    if (answered.Count >= AnswersBeforeKill)
                        enough.TrySetResult();
                }
            }
            catch (HttpRequestException)
            {
                // The kill; what was not answered does not count.
            }
        }

        var clients = Enumerable.Range(0, 8).Select(_ => PlaceAsync()).ToArray();
        await enough.Task;
        await shop.KillAsync();
        await Task.WhenAll(clients);
        return answered;
    }
}
