using System.Globalization;
using Microsoft.Extensions.Configuration;
using Millrace.Redis;

namespace Shop;

/// <summary>A service that can run in a process of its own.</summary>
public enum Role
{
    Orders,
    Payments,
    Inventory,
    Notifications,
}

/// <summary>
/// What the command line and the environment say (<c>--port 8080</c> or <c>Shop__Port=8080</c>), checked. The command line wins.
/// </summary>
public sealed record ShopOptions
{
    public const string Usage = """
        The shop: orders, payments, inventory and notifications on Millrace streams.

          dotnet run --project samples/Shop -- [options]

          --redis HOST:PORT     Use this Redis instead of the embedded engine.
          --data DIR            Where the engine, the databases and the fakes keep their files. Default: shop-data.
          --port N              The port of the page and the API on localhost; 0 takes a free one. Default: 5080.
          --role ROLE           Run one service only: orders (with the API), payments, inventory or notifications. Needs --redis.
          --patience SECONDS    How long the services may take for an order before it is cancelled. Default: 1200.
          --orders N            Place N orders over HTTP, wait until all are settled, check the books, and end.
          --seed N              What the orders of --orders are drawn from. Default: 1.
          --json                Print the result of --orders as one JSON line.
          --kill-workers        Kill and restart the services at random while the orders of --orders flow.
          --help                Show this.

        Each option can come from the environment too, as in Shop__Port=8080, and so can the options of the consumer groups, as in
        Millrace__Consumers__payments__Concurrency=16.
        """;

    private const int MaxOrders = 1_000_000;

    // Longer than a service tries: what it gives up on is to end as that, not as an order nobody answered for.
    private const int DefaultPatienceSeconds = 1_200;
    private const int MaxPatienceSeconds = 86_400;

    private static readonly Dictionary<string, string> Paths = new()
    {
        ["--redis"] = "Shop:Redis",
        ["--data"] = "Shop:Data",
        ["--port"] = "Shop:Port",
        ["--role"] = "Shop:Role",
        ["--patience"] = "Shop:Patience",
        ["--orders"] = "Shop:Orders",
        ["--seed"] = "Shop:Seed",
        ["--json"] = "Shop:Json",
        ["--kill-workers"] = "Shop:KillWorkers",
        ["--help"] = "Shop:Help",
    };

    private static readonly HashSet<string> Switches = ["--json", "--kill-workers", "--help"];

    /// <summary>
    /// The Redis to use, or <see langword="null"/>: the embedded engine. May hold a password: show <see cref="RedisEndpoint"/>.
    /// </summary>
    public string? Redis { get; private init; }

    /// <summary>Host and port of the Redis.</summary>
    public string? RedisEndpoint { get; private init; }

    public string Data { get; private init; } = "shop-data";

    /// <summary>The port to listen on, 0: any that is free.</summary>
    public int Port { get; private init; }

    /// <summary>The only service to run, or <see langword="null"/>: all.</summary>
    public Role? Role { get; private init; }

    /// <summary>How long payments and inventory may take for an order before the checkout cancels it.</summary>
    public TimeSpan Patience { get; private init; }

    /// <summary>Orders to place, or <see langword="null"/>: run until stopped.</summary>
    public int? Orders { get; private init; }

    public int Seed { get; private init; } = 1;

    public bool IsJson { get; private init; }

    public bool KillsWorkers { get; private init; }

    public bool WantsHelp { get; private init; }

    /// <summary>The books of the fakes.</summary>
    public string FakesDirectory => Path.Combine(Data, "fakes");

    /// <summary>The services' databases. What they know of is in one store, and not in the other.</summary>
    private string DatabasesDirectory => Path.Combine(Data, "databases", Redis is null ? "embedded" : "redis");

    /// <summary>The database of the orders service.</summary>
    public string OrdersDatabase => Path.Combine(DatabasesDirectory, "orders.db");

    /// <summary>The database of the payment service.</summary>
    public string PaymentsDatabase => Path.Combine(DatabasesDirectory, "payments.db");

    /// <summary>What visitors are told about the store.</summary>
    public string Home => Redis is null ? $"the embedded engine, data in {Data}" : $"Redis at {RedisEndpoint}";

    /// <summary>What the report calls the store.</summary>
    public string StoreName => Redis is null ? "embedded" : "redis";

    /// <summary>
    /// Reads the options. Everything that is wrong is in <paramref name="errors"/>, one line each; the result counts only without.
    /// </summary>
    public static ShopOptions Parse(IReadOnlyList<string> arguments, List<string> errors)
    {
        var given = ReadArguments(arguments, errors);
        var reader = new Reader(
            new ConfigurationBuilder().AddEnvironmentVariables().AddInMemoryCollection(given).Build(), errors);
        var options = new ShopOptions
        {
            Redis = reader.Text("--redis"),
            RedisEndpoint = reader.Endpoint("--redis"),
            Data = reader.Text("--data") ?? "shop-data",
            Role = reader.OneOf<Role>("--role"),
            Patience = TimeSpan.FromSeconds(reader.Number("--patience", 1, MaxPatienceSeconds) ?? DefaultPatienceSeconds),
            Orders = reader.Number("--orders", 1, MaxOrders),
            Seed = reader.Number("--seed", 0, int.MaxValue) ?? 1,
            IsJson = reader.Flag("--json"),
            KillsWorkers = reader.Flag("--kill-workers"),
            WantsHelp = reader.Flag("--help"),
        };
        // A run with orders is its own client, so any port will do, and it does not disturb a shop that is open.
        options = options with { Port = reader.Number("--port", 0, 65_535) ?? (options.Orders is null ? 5080 : 0) };
        options.CheckTogether(errors);
        return options;
    }

    private static Dictionary<string, string?> ReadArguments(IReadOnlyList<string> arguments, List<string> errors)
    {
        var given = new Dictionary<string, string?>();
        for (var i = 0; i < arguments.Count; i++)
        {
            var (name, value) = arguments[i].Split('=', 2) is [var left, var right] ? (left, right) : (arguments[i], null);
            if (name is "-h" or "-?")
                name = "--help";
            if (!Paths.TryGetValue(name, out var path))
            {
                errors.Add($"{arguments[i]}: there is no such option; --help lists all.");
                continue;
            }

            if (value is null && Switches.Contains(name))
                value = "true";
            else if (value is null && i + 1 < arguments.Count && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal))
                value = arguments[++i];

            if (value is null)
                errors.Add($"{path} ({name}): a value is missing.");
            else if (!given.TryAdd(path, value))
                errors.Add($"{path} ({name}): given twice.");
        }

        return given;
    }

    private void CheckTogether(List<string> errors)
    {
        if (Role is not null && Redis is null)
            errors.Add("Shop:Role (--role): a service of its own needs --redis; the embedded engine lives in one process.");
        if (Role is not null and not Shop.Role.Orders && Orders is not null)
            errors.Add("Shop:Orders (--orders): only the orders service places orders; use --role orders or no --role.");
        if (KillsWorkers && Orders is null)
            errors.Add("Shop:KillWorkers (--kill-workers): needs --orders.");
        if (KillsWorkers && Role is not null)
            errors.Add("Shop:KillWorkers (--kill-workers): restarts all services of one process, so it does not go with --role.");
        if (IsJson && Orders is null)
            errors.Add("Shop:Json (--json): needs --orders.");
    }

    /// <summary>Reads single options; each error names the configuration path and the option.</summary>
    private sealed class Reader(IConfiguration configuration, List<string> errors)
    {
        public string? Text(string name)
        {
            var value = configuration[Paths[name]];
            if (value is not null && string.IsNullOrWhiteSpace(value))
                errors.Add($"{Paths[name]} ({name}): must not be empty.");
            return value;
        }

        public string? Endpoint(string name)
        {
            if (configuration[Paths[name]] is not { } text || string.IsNullOrWhiteSpace(text))
                return null;
            try
            {
                return RedisOptions.Parse(text).ToString();
            }
            catch (FormatException wrong)
            {
                errors.Add($"{Paths[name]} ({name}): {wrong.Message}");
                return null;
            }
        }

        public int? Number(string name, int min, int max)
        {
            if (configuration[Paths[name]] is not { } text)
                return null;
            if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) &&
                number >= min && number <= max)
                return number;
            errors.Add($"{Paths[name]} ({name}): '{text}' is not a whole number from {min} to {max}.");
            return null;
        }

        public bool Flag(string name)
        {
            if (configuration[Paths[name]] is not { } text)
                return false;
            if (bool.TryParse(text, out var flag))
                return flag;
            errors.Add($"{Paths[name]} ({name}): '{text}' is neither true nor false.");
            return false;
        }

        public TEnum? OneOf<TEnum>(string name)
            where TEnum : struct, Enum
        {
            if (configuration[Paths[name]] is not { } text)
                return null;
            var names = Enum.GetNames<TEnum>();
            if (names.FirstOrDefault(known => known.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } known)
                return Enum.Parse<TEnum>(known);
            errors.Add($"{Paths[name]} ({name}): '{text}' is none of {string.Join(", ", names.Select(one => one.ToLowerInvariant()))}.");
            return null;
        }
    }
}
