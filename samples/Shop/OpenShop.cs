namespace Shop;

/// <summary>What the process tells whoever started it.</summary>
internal static class ExitCodes
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int WrongOptions = 2;
}

/// <summary>The shop open for visitors, until Ctrl+C, which drains.</summary>
internal static class OpenShop
{
    /// <summary>The API and the page, with all services or only the orders service.</summary>
    public static async Task<int> RunAsync(ShopOptions options)
    {
        await using var app = ShopHost.BuildWeb(options, options.Role is { } only ? [only] : Enum.GetValues<Role>());
        await app.StartAsync();
        Greet(options, Address(app));
        await app.WaitForShutdownAsync();
        return ExitCodes.Success;
    }

    /// <summary>One service without the API.</summary>
    public static async Task<int> ServeAsync(ShopOptions options, Role role)
    {
        using var host = ShopHost.BuildWorker(options, role);
        await host.StartAsync();
        Console.WriteLine($"The {role.ToString().ToLowerInvariant()} service runs on {options.Home}. Ctrl+C stops it.");
        await host.WaitForShutdownAsync();
        return ExitCodes.Success;
    }

    /// <summary>Where the application listens, once it is started.</summary>
    public static string Address(WebApplication app)
    {
        var url = new Uri(app.Urls.First());
        return $"http://localhost:{url.Port}";
    }

    private static void Greet(ShopOptions options, string address)
    {
        Console.WriteLine($$"""
            The shop is open at {{address}} ({{options.Home}}). Ctrl+C closes it.

            Three things to try:
              curl -i {{address}}/orders -H 'Content-Type: application/json' -d '{"items":[{"sku":"tea","quantity":2}]}'
              curl -i {{address}}/orders -H 'Content-Type: application/json' -d '{"items":[{"sku":"moon-lamp","quantity":5}]}'
              curl '{{address}}/orders?limit=5'
            """);
    }
}
