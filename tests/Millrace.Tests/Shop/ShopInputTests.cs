using System.Net;
using System.Text.Json;

namespace Millrace.Tests.Shop;

/// <summary>What the Shop says to bad input: clients get problem details, operators all errors at once.</summary>
public sealed class ShopInputTests(ShopInputTests.OpenShop open) : IClassFixture<ShopInputTests.OpenShop>
{
    public static TheoryData<string, string, string> BadBodies => new()
    {
        { "/orders", "{", "not the JSON expected" },
        { "/orders", "null", "null" },
        { "/orders", "[]", "not the JSON expected" },
        { "/orders", "{}", "items" },
        { "/orders", """{"items":[]}""", "items" },
        { "/orders", """{"items":[null]}""", "items[0].sku" },
        { "/orders", """{"items":[{"quantity":1}]}""", "items[0].sku" },
        { "/orders", """{"items":[{"sku":"unicorn","quantity":1}]}""", "unicorn" },
        { "/orders", """{"items":[{"sku":"tea"}]}""", "items[0].quantity" },
        { "/orders", """{"items":[{"sku":"tea","quantity":0}]}""", "items[0].quantity" },
        { "/orders", """{"items":[{"sku":"tea","quantity":-1}]}""", "items[0].quantity" },
        { "/orders", """{"items":[{"sku":"tea","quantity":1.5}]}""", "quantity" },
        { "/orders", """{"items":[{"sku":"tea","quantity":99999999999}]}""", "quantity" },
        { "/orders", """{"items":[{"sku":"tea","quantity":1,"price":-1}]}""", "items[0].price" },
        { "/orders", """{"customer":"","items":[{"sku":"tea","quantity":1}]}""", "customer" },
        { "/orders", """{"customer":"a\nb","items":[{"sku":"tea","quantity":1}]}""", "customer" },
        { "/users", "{}", "email" },
        { "/users", """{"name":"Ann","email":"nowhere"}""", "email" },
        { "/admin/payments/break", "{}", "broken" },
    };

    [Theory]
    [MemberData(nameof(BadBodies))]
    public async Task Bad_body_gets_400_with_problem_details_that_name_it(string path, string body, string named)
    {
        using var response = await open.Client.SendAsync(HttpMethod.Post, path, body);

        await AssertProblemAsync(response, HttpStatusCode.BadRequest, named);
    }

    [Theory]
    [InlineData("/orders/ord-unknown", HttpStatusCode.NotFound, "ord-unknown")]
    [InlineData("/orders?limit=0", HttpStatusCode.BadRequest, "limit")]
    [InlineData("/orders?limit=many", HttpStatusCode.BadRequest, "limit")]
    [InlineData("/orders?before=yesterday", HttpStatusCode.BadRequest, "before")]
    [InlineData("/customers/nobody", HttpStatusCode.NotFound, "customer")]
    [InlineData("/users/usr-unknown", HttpStatusCode.NotFound, "profile")]
    [InlineData("/streams/unknown", HttpStatusCode.NotFound, "stream")]
    [InlineData("/streams/orders/groups/unknown", HttpStatusCode.NotFound, "group")]
    [InlineData("/nowhere", HttpStatusCode.NotFound, "Not Found")]
    public async Task Bad_question_gets_problem_details(string path, HttpStatusCode status, string named)
    {
        using var response = await open.Client.SendAsync(HttpMethod.Get, path);

        await AssertProblemAsync(response, status, named);
    }

    [Fact]
    public async Task Body_of_another_type_gets_415_and_a_large_one_413()
    {
        using var http = new HttpClient { BaseAddress = open.Address };

        using var text = await http.PostAsync("/orders", new StringContent("items"));
        using var large = await open.Client.SendAsync(HttpMethod.Post, "/orders", $"{{\"customer\":\"{new string('a', 100_000)}\"}}");

        await AssertProblemAsync(text, HttpStatusCode.UnsupportedMediaType, "application/json");
        await AssertProblemAsync(large, HttpStatusCode.RequestEntityTooLarge, "too large");
    }

    [Fact]
    public async Task Correlation_id_is_returned_made_or_refused()
    {
        const string order = """{"items":[{"sku":"tea","quantity":1}]}""";

        using var given = await open.Client.SendAsync(HttpMethod.Post, "/orders", order, ("X-Correlation-Id", "visit-42"));
        using var made = await open.Client.SendAsync(HttpMethod.Post, "/orders", order);
        using var refused = await open.Client.SendAsync(HttpMethod.Post, "/orders", order, ("X-Correlation-Id", new string('x', 200)));

        Assert.Equal("visit-42", Assert.Single(given.Headers.GetValues("X-Correlation-Id")));
        Assert.NotEmpty(Assert.Single(made.Headers.GetValues("X-Correlation-Id")));
        await AssertProblemAsync(refused, HttpStatusCode.BadRequest, "X-Correlation-Id");
    }

    [Fact]
    public async Task Order_can_be_read_right_after_its_post_and_carries_its_correlation_to_the_end()
    {
        using var posted = await open.Client.SendAsync(
            HttpMethod.Post, "/orders", """{"items":[{"sku":"tea","quantity":1}]}""", ("X-Correlation-Id", "visit-43"));
        var location = posted.Headers.Location!.ToString();
        var first = await open.Client.GetAsync(location);
        var id = first.GetProperty("id").GetString()!;
        await open.Client.WaitForEndsAsync([id]);
        var last = await open.Client.GetAsync(location);

        Assert.Equal("visit-43", first.GetProperty("correlationId").GetString());
        Assert.Equal(6.5m, first.GetProperty("total").GetDecimal());
        Assert.Equal("completed", last.GetProperty("status").GetString());
        Assert.Equal("visit-43", last.GetProperty("correlationId").GetString());
        Assert.Contains(
            (await open.Client.GetAsync("/orders?limit=500")).GetProperty("orders").EnumerateArray(),
            order => order.GetProperty("id").GetString() == id);
    }

    [Fact]
    public async Task Express_order_takes_its_lane_and_stands_in_the_list_with_the_others()
    {
        using var posted = await open.Client.SendAsync(
            HttpMethod.Post, "/orders", """{"express":true,"items":[{"sku":"tea","quantity":1}]}""");
        var id = posted.Headers.Location!.ToString().Split('/')[^1];
        await open.Client.WaitForEndsAsync([id]);
        var order = (await open.Client.GetAsync("/orders?limit=500")).GetProperty("orders").EnumerateArray()
            .Single(order => order.GetProperty("id").GetString() == id);

        Assert.Equal("completed", order.GetProperty("status").GetString());
        Assert.True(order.GetProperty("express").GetBoolean());
        Assert.Contains(
            order.GetProperty("events").EnumerateArray(),
            one => one.GetProperty("type").GetString() == "order.created" && one.GetProperty("stream").GetString() == "{orders}:lane:express");
        Assert.True((await open.Client.GetAsync("/streams/%7Borders%7D:lane:express")).GetProperty("length").GetInt32() > 0);
    }

    [Fact]
    public async Task Customer_is_shown_with_each_order_that_was_placed_or_has_ended()
    {
        using var posted = await open.Client.SendAsync(
            HttpMethod.Post, "/orders", """{"customer":"ida@shop.example","items":[{"sku":"tea","quantity":2}]}""");
        var id = posted.Headers.Location!.ToString().Split('/')[^1];
        var first = await open.Client.GetAsync("/customers/ida@shop.example");
        await open.Client.WaitForEndsAsync([id]);
        var last = await open.Client.GetAsync("/customers/ida@shop.example");

        Assert.Equal((1, id), (first.GetProperty("orders").GetInt32(), first.GetProperty("lastOrder").GetString()));
        Assert.Equal((1, 13m), (last.GetProperty("completed").GetInt32(), last.GetProperty("spent").GetDecimal()));
    }

    [Fact]
    public async Task User_gets_a_profile_from_one_group_and_a_welcome_mail_from_another()
    {
        using var posted = await open.Client.SendAsync(HttpMethod.Post, "/users", """{"name":"Ann","email":"ann@shop.example"}""");
        var answer = JsonDocument.Parse(await posted.Content.ReadAsStringAsync()).RootElement;
        var id = answer.GetProperty("id").GetString()!;

        await UntilAsync("the profile is there", async () =>
        {
            using var response = await open.Client.SendAsync(HttpMethod.Get, $"/users/{id}");
            return response.StatusCode == HttpStatusCode.OK;
        });
        await UntilAsync("the welcome mail is out", () => Task.FromResult(open.ReadMails().Contains(id, StringComparison.Ordinal)));

        Assert.Equal(HttpStatusCode.Accepted, posted.StatusCode);
        Assert.Equal("processing", answer.GetProperty("status").GetString());
        Assert.Equal("Ann", (await open.Client.GetAsync($"/users/{id}")).GetProperty("name").GetString());
    }

    /// <summary>The profile raises no event a client could wait for, so this asks again until it is there.</summary>
    private static async Task UntilAsync(string what, Func<Task<bool>> holds)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (!await holds())
        {
            Assert.False(deadline.IsCancellationRequested, $"Not in a minute: {what}.");
            await timer.WaitForNextTickAsync();
        }
    }

    private static async Task AssertProblemAsync(HttpResponseMessage response, HttpStatusCode status, string named)
    {
        var body = await response.Content.ReadAsStringAsync();
        Assert.True(status == response.StatusCode, $"{response.StatusCode}: {body}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        Assert.Equal((int)status, JsonDocument.Parse(body).RootElement.GetProperty("status").GetInt32());
        Assert.Contains(named, body, StringComparison.Ordinal);
    }

    /// <summary>One Shop for all these questions.</summary>
    public sealed class OpenShop : IAsyncLifetime
    {
        private readonly ShopDirectory _directory = new();
        private ShopProcess? _shop;

        public ShopClient Client { get; private set; } = null!;

        public Uri Address => _shop!.Address;

        public string ReadMails()
        {
            var path = Path.Combine(_directory.Data, "fakes", "mails.jsonl");
            return File.Exists(path) ? File.ReadAllText(path) : "";
        }

        public async ValueTask InitializeAsync()
        {
            _shop = await ShopProcess.OpenAsync(_directory.Path, "--data", _directory.Data);
            Client = new(_shop.Address);
        }

        public async ValueTask DisposeAsync()
        {
            Client?.Dispose();
            if (_shop is not null)
                await _shop.DisposeAsync();
            _directory.Dispose();
        }
    }
}
