using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Ordered;

public sealed class OrderKeysTests
{
    [Theory]
    [InlineData(nameof(Placed.Customer))]
    [InlineData("customer_id")]
    [InlineData("CUSTOMER")]
    public async Task Key_is_a_property_by_its_name_in_the_class_or_in_json(string orderedBy) =>
        Assert.Equal("7", await KeyAsync(orderedBy, ("type", "placed"), ("schemaversion", "2"), ("data", """{"customer_id":7,"total":1.50}""")));

    [Theory]
    [InlineData("total", "1.50")]
    [InlineData("urgency", "High")]
    [InlineData("note", null)]
    public async Task Key_is_the_text_of_the_value(string orderedBy, string? key) => Assert.Equal(
        key, await KeyAsync(orderedBy, ("type", "placed"), ("schemaversion", "2"), ("data", """{"customer_id":7,"total":1.50,"urgency":1}""")));

    [Fact]
    public async Task Key_of_an_older_version_is_that_of_the_version_the_handler_takes() =>
        Assert.Equal("9", await KeyAsync("customer_id", ("type", "placed"), ("data", """{"buyer":"9"}""")));

    [Theory]
    [InlineData("type", "placed", "schemaversion", "2", "data", "no json")]
    [InlineData("type", "placed", "schemaversion", "3", "data", "{}")]
    [InlineData("type", "unknown", "schemaversion", "2", "data", "{}")]
    [InlineData("type", "placed", "schemaversion", "2", "note", "no data")]
    public async Task What_cannot_be_read_has_no_key(string n1, string v1, string n2, string v2, string n3, string v3) =>
        Assert.Null(await KeyAsync("customer_id", (n1, v1), (n2, v2), (n3, v3)));

    [Fact]
    public async Task Getter_that_throws_gives_no_key() =>
        Assert.Null(await KeyAsync("bad", ("type", "placed"), ("schemaversion", "2"), ("data", "{}")));

    [Fact]
    public async Task Property_that_a_message_of_the_group_does_not_have_fails_the_start()
    {
        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => ConsumerHost.StartAsync(m => m
            .AddConsumer<Placed>("orders", "billing", (_, _, _) => Task.CompletedTask, o => o.OrderedBy = "Customer")
            .AddConsumer<OrderPaid>("orders", "billing", (_, _, _) => Task.CompletedTask)));

        Assert.Equal(
            $"Consumer of 'orders' in group 'billing': it is ordered by 'Customer', and {typeof(OrderPaid)} has no such property that can be read.",
            Assert.Single(error.Errors));
    }

    [Fact]
    public async Task Options_of_order_are_bound_and_checked()
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Millrace:Consumers:billing:OrderedBy"] = "Customer",
            ["Millrace:Consumers:billing:WhenExhausted"] = "stay",
            ["Millrace:Consumers:billing:MaxParkedKeys"] = "0",
            ["Millrace:Consumers:billing:MaxWaitingEntries"] = "1000001",
            ["Millrace:Consumers:mail:WhenExhausted"] = "park",
        };
        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => ConsumerHost.StartAsync(
            m => m
                .AddConsumer<Placed>("orders", "billing", (_, _, _) => Task.CompletedTask)
                .AddConsumer<Placed>("orders", "mail", (_, _, _) => Task.CompletedTask),
            configuration: configuration));

        Assert.Collection(
            error.Errors,
            line => Assert.StartsWith("Millrace:Consumers:billing:WhenExhausted: 'stay' is none of", line),
            line => Assert.StartsWith("Millrace:Consumers:billing:MaxParkedKeys: 0 is outside", line),
            line => Assert.StartsWith("Millrace:Consumers:billing:MaxWaitingEntries: 1000001 is outside", line),
            line => Assert.Equal("Millrace:Consumers:mail:WhenExhausted: is for groups that are ordered; set OrderedBy.", line));
    }

    private static async Task<string?> KeyAsync(string orderedBy, params (string, string)[] fields)
    {
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddMessage<PlacedV1>()
            .AddUpcaster<PlacedV1, Placed>(old => new(int.Parse(old.Buyer, null), 0))
            .AddConsumer<Placed>("orders", "billing", (_, _, _) => Task.CompletedTask, o => o.OrderedBy = orderedBy));
        return host.Host.Services.GetRequiredService<MillraceCore>().Groups[0].OrderKeys!.Read(EntryFields.Create(fields));
    }

    public enum Urgency
    {
        Low,
        High,
    }

    [Message("placed", Version = 2)]
    public sealed record Placed([property: JsonPropertyName("customer_id")] int Customer, decimal Total)
    {
        public Urgency Urgency { get; init; }

        public string? Note { get; init; }

        public string Bad => Total == 0 ? throw new InvalidOperationException("of the application") : "";
    }

    [Message("placed")]
    public sealed record PlacedV1(string Buyer);
}
