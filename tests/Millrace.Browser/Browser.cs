using Microsoft.Playwright;

namespace Millrace.Browser;

/// <summary>A headless Chromium of the machine, shared by all tests; each opens pages of its own.</summary>
public sealed class Browser : IAsyncLifetime
{
    private static readonly string[] Arguments =
    [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
    ];

    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public async ValueTask InitializeAsync()
    {
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Environment.GetEnvironmentVariable("CHROMIUM") ?? "/usr/bin/chromium",
            Args = Arguments,
        });
    }

    /// <summary>Opens a page; anything the page reports as an error is collected.</summary>
    public async Task<(IPage Page, List<string> Errors)> OpenAsync(Uri address, ColorScheme scheme = ColorScheme.Light, int width = 1280)
    {
        var viewport = new ViewportSize { Width = width, Height = 900 };
        var context = await _browser!.NewContextAsync(new() { ColorScheme = scheme, ViewportSize = viewport });
        var page = await context.NewPageAsync();
        page.SetDefaultTimeout(60_000);
        var errors = new List<string>();
        page.PageError += (_, error) => errors.Add(error);
        await page.GotoAsync(address.ToString());
        await page.Locator(".connection.live").WaitForAsync();
        return (page, errors);
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
    }
}
