using Microsoft.Playwright;
using Millrace.Tests.Shop;
using static Microsoft.Playwright.Assertions;

namespace Millrace.Browser;

/// <summary>The Shop's page as a visitor uses it, in a real browser against a real Shop.</summary>
public sealed class ShopPageTests(Browser browser) : IClassFixture<Browser>, IAsyncLifetime
{
    private static readonly LocatorAssertionsToHaveTextOptions Patiently = new() { Timeout = 60_000 };

    private readonly ShopDirectory _directory = new();
    private ShopProcess _shop = null!;

    public async ValueTask InitializeAsync() => _shop = await ShopProcess.OpenAsync(_directory.Path, "--data", _directory.Data);

    public async ValueTask DisposeAsync()
    {
        await _shop.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Order_placed_by_keyboard_completes_and_shows_its_story()
    {
        var (page, errors) = await browser.OpenAsync(_shop.Address);

        await page.Locator("#quantity").FocusAsync();
        await page.Keyboard.PressAsync("Enter");
        var card = page.Locator(".lane[data-status=completed] .card");
        await card.WaitForAsync();
        await Expect(page.Locator("#announce")).ToContainTextAsync("is completed");
        await card.FocusAsync();
        await page.Keyboard.PressAsync("Enter");

        await Expect(page.Locator("#details")).ToContainTextAsync("payment.completed");
        await Expect(page.Locator("#details")).ToContainTextAsync("notification.sent");
        await page.Keyboard.PressAsync("Escape");
        await Expect(page.Locator("#details")).ToBeHiddenAsync();
        Assert.Empty(errors);
    }

    [Fact]
    public async Task Negative_quantity_is_refused_beside_its_field()
    {
        var (page, errors) = await browser.OpenAsync(_shop.Address);

        await page.Locator("#quantity").FillAsync("-2");
        await page.Locator("#place-one").ClickAsync();

        await Expect(page.Locator("#quantity-error")).ToContainTextAsync("-2");
        await Expect(page.Locator("#quantity")).ToHaveAttributeAsync("aria-invalid", "true");
        await Expect(page.Locator("#quantity")).ToBeFocusedAsync();
        await page.Locator("#quantity").FillAsync("1");
        await page.Locator("#place-one").ClickAsync();
        await Expect(page.Locator("#quantity-error")).ToBeHiddenAsync();
        Assert.Empty(errors);
    }

    [Fact]
    public async Task Hundred_orders_pile_up_at_a_broken_payment_service_and_settle_when_it_is_mended()
    {
        var (page, errors) = await browser.OpenAsync(_shop.Address);

        await page.Locator("#break").ClickAsync();
        await Expect(page.Locator("#break")).ToHaveTextAsync("Mend it");
        await page.Locator("#place-hundred").ClickAsync();
        await Expect(page.Locator("#placed")).ToHaveTextAsync("A hundred orders are on their way.", Patiently);
        await Expect(page.Locator("#count-deadLettered")).ToHaveTextAsync("1", Patiently);
        await Expect(page.Locator("#count-cancelled")).ToHaveTextAsync("6", Patiently);
        await Expect(page.Locator("#count-processing")).ToHaveTextAsync("93", Patiently);
        await Expect(page.Locator("#count-completed")).ToHaveTextAsync("0");
        await page.Locator("#break").ClickAsync();

        await Expect(page.Locator("#count-processing")).ToHaveTextAsync("0", Patiently);
        await Expect(page.Locator("#count-completed")).ToHaveTextAsync("85");
        await Expect(page.Locator("#count-cancelled")).ToHaveTextAsync("14");
        await Expect(page.Locator("#count-deadLettered")).ToHaveTextAsync("1");
        Assert.Empty(errors);
    }

    [Fact]
    public async Task Text_of_customers_is_shown_as_text()
    {
        const string name = "<img src=x onerror=alert(1)>";
        using var client = new ShopClient(_shop.Address);
        using var posted = await client.SendAsync(
            HttpMethod.Post, "/orders", $$"""{"customer":"{{name}}","items":[{"sku":"tea","quantity":1}]}""");
        Assert.True(posted.IsSuccessStatusCode);

        var (page, errors) = await browser.OpenAsync(_shop.Address);
        await page.Locator(".lane[data-status=completed] .card").ClickAsync();

        await Expect(page.Locator("#details")).ToContainTextAsync(name);
        Assert.Equal(0, await page.Locator("#details img").CountAsync());
        Assert.Empty(errors);
    }

    [Theory]
    [InlineData(ColorScheme.Light)]
    [InlineData(ColorScheme.Dark)]
    public async Task Page_fits_a_phone(ColorScheme scheme)
    {
        using var client = new ShopClient(_shop.Address);
        await client.PlaceAsync("tea", 1);

        var (page, errors) = await browser.OpenAsync(_shop.Address, scheme, width: 360);
        await page.Locator(".card").First.WaitForAsync();

        Assert.True(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= innerWidth"));
        Assert.Empty(errors);
    }
}
