using System.Net;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace Millrace.Tests.Shop;

/// <summary>A client of a running Shop that knows nothing of its code.</summary>
public sealed class ShopClient(Uri address) : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private readonly HttpClient _http = new() { BaseAddress = address, Timeout = Deadline };

    /// <summary>Places an order and returns its ID.</summary>
    public async Task<string> PlaceAsync(string sku, int quantity)
    {
        using var response = await _http.PostAsJsonAsync(
            "/orders", new { customer = "test@shop.example", items = new[] { new { sku, quantity } } });
        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("processing", answer.GetProperty("status").GetString());
        return answer.GetProperty("id").GetString()!;
    }

    public Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, string? body = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return _http.SendAsync(request);
    }

    /// <summary>Reads JSON; anything but success fails.</summary>
    public async Task<JsonElement> GetAsync(string path) => await _http.GetFromJsonAsync<JsonElement>(path);

    /// <summary>Follows the live feed until all these orders have ended, and returns their ends. Nothing is polled.</summary>
    public async Task<IReadOnlyDictionary<string, string>> WaitForEndsAsync(IEnumerable<string> orders)
    {
        var ended = await WaitForAsync(orders, static order => order.GetProperty("status").GetString() != "processing");
        return ended.ToDictionary(order => order.Key, order => order.Value.GetProperty("status").GetString()!);
    }

    /// <summary>Follows the live feed until each of these orders was as it should be, and returns them as they were then.</summary>
    public async Task<IReadOnlyDictionary<string, JsonElement>> WaitForAsync(IEnumerable<string> orders, Func<JsonElement, bool> isSo)
    {
        var waiting = orders.ToHashSet();
        var found = new Dictionary<string, JsonElement>();
        using var deadline = new CancellationTokenSource(Deadline);
        await foreach (var update in FollowAsync(deadline.Token))
        {
            foreach (var order in update.GetProperty("orders").EnumerateArray())
            {
                var id = order.GetProperty("id").GetString()!;
                if (isSo(order) && waiting.Remove(id))
                    found[id] = order;
            }

            if (waiting.Count == 0)
                return found;
        }

        throw new InvalidOperationException("The live feed ended.");
    }

    public void Dispose() => _http.Dispose();

    private async IAsyncEnumerable<JsonElement> FollowAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stream = await _http.GetStreamAsync("/live", cancellationToken);
        using var reader = new StreamReader(stream);
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.StartsWith("data: ", StringComparison.Ordinal))
                yield return JsonDocument.Parse(line[6..]).RootElement;
        }
    }
}
