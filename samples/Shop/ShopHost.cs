using Microsoft.Extensions.Configuration.Memory;
using Millrace;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.WorkQueues;
using Shop.Fakes;
using Shop.Inventory;
using Shop.Loyalty;
using Shop.Notifications;
using Shop.Orders;
using Shop.Page;
using Shop.Payments;
using Shop.Users;

namespace Shop;

/// <summary>Puts the services into hosts: all in one web application, or one each in a process or host of its own.</summary>
internal static class ShopHost
{
    private const int MaxBodyBytes = 64 * 1024;

    private static readonly Dictionary<Role, Type[]> Handlers = new()
    {
        [Role.Orders] = [typeof(OrderHandlers), typeof(ProfileHandlers)],
        [Role.Payments] = [typeof(PaymentHandlers)],
        [Role.Inventory] = [typeof(InventoryHandlers)],
        [Role.Notifications] = [typeof(NotificationHandlers), typeof(WelcomeHandlers), typeof(PointsHandlers), typeof(VoucherHandlers)],
    };

    private static readonly string[] Groups =
    [
        OrderNames.Group, PaymentNames.Group, InventoryNames.Group, NotificationNames.Group, NotificationNames.Mails, UserNames.WelcomeGroup,
        UserNames.ProfilesGroup, LoyaltyNames.PointsGroup, LoyaltyNames.VouchersGroup,
    ];

    /// <summary>The API, the page and the read model, with the handlers of the given roles.</summary>
    public static WebApplication BuildWeb(ShopOptions options, IReadOnlyCollection<Role> roles)
    {
        // No file is watched for changes: those of the databases would wake the watcher all the time.
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = ["--hostBuilder:reloadConfigOnChange=false"] });
        builder.Services.AddDatabase<OrdersDb>(options.OrdersDatabase); // Before its outbox, which is relayed from its own start on.
        AddShop(builder, options, roles, millrace =>
        {
            UseOwnStore(millrace, options);
            millrace.AddProjection<CustomerView>(CustomerView.Projection, OrderNames.Category, CustomerView.Fold);
            millrace.AddOutbox<OrdersDb>(outbox => Configure(outbox, OrderNames.Outbox, options));
        });
        builder.Services.AddSingleton<OrderAcceptance>();
        builder.Services.AddHostedService<OrderRecovery>();
        if (!roles.Contains(Role.Payments))
            builder.Services.AddDatabase<PaymentsDb>(options.PaymentsDatabase); // The audit of a run reads the ledger.
        builder.Services.AddSingleton<OrderBoard>();
        builder.Services.AddHostedService(services => services.GetRequiredService<OrderBoard>());
        builder.Services.AddSingleton<StreamTable>();
        builder.Services.AddSingleton<LiveFeed>();
        builder.Services.AddProblemDetails();
        builder.Services.AddExceptionHandler<StoreProblems>();
        builder.Services.AddHealthChecks().AddMillrace().AddMillraceOutbox<OrdersDb>();
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, ShopJson.Default);
            json.SerializerOptions.DefaultIgnoreCondition = ShopJson.Default.Options.DefaultIgnoreCondition;
        });
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = MaxBodyBytes;
            if (options.Port == 0)
                kestrel.Listen(System.Net.IPAddress.Loopback, 0);
            else
                kestrel.ListenLocalhost(options.Port);
        });

        var app = builder.Build();
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.MapOrders();
        app.MapUsers();
        app.MapPayments();
        app.MapPage();
        app.MapHealth();
        return app;
    }

    /// <summary>The handlers of one role in a process of their own.</summary>
    public static IHost BuildWorker(ShopOptions options, Role role)
    {
        var builder = CreateWorkerBuilder();
        AddShop(builder, options, [role], millrace => UseOwnStore(millrace, options));
        return builder.Build();
    }

    /// <summary>The handlers of one role in a host that shares the store of this process and can be killed without it.</summary>
    public static IHost BuildMortalWorker(ShopOptions options, Role role, IStreamStore store, string instance)
    {
        var builder = CreateWorkerBuilder();
        AddShop(builder, options, [role], millrace => millrace.UseStore(store).UseInstanceName(instance));
        return builder.Build();
    }

    private static HostApplicationBuilder CreateWorkerBuilder()
    {
        var builder = Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "Shop" });
        builder.Configuration.AddEnvironmentVariables();
        return builder;
    }

    private static void AddShop(
        IHostApplicationBuilder builder, ShopOptions options, IReadOnlyCollection<Role> roles, Action<MillraceBuilder> useStore)
    {
        Directory.CreateDirectory(options.FakesDirectory);
        var defaults = new MemoryConfigurationSource { InitialData = [.. ConsumerDefaults(options), .. ShopConsole.Defaults()] };
        builder.Configuration.Sources.Insert(0, defaults);
        ShopConsole.AddTo(builder.Logging, builder.Configuration);
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(new PaymentProvider(options.FakesDirectory, TimeProvider.System));
        builder.Services.AddSingleton(new MailGateway(options.FakesDirectory, TimeProvider.System));
        var handlers = roles.SelectMany(role => Handlers[role]).ToHashSet();
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace
                .UseJson(ShopJson.Default)
                .AddEventStore(events => events.AddCategory(OrderNames.Category))
                .AddLanes(OrderNames.Stream, lanes => lanes.Add(OrderNames.ExpressLane, weight: 8))
                .AddUpcaster<OrderCreatedV1, OrderCreated>(version1 => version1.Upcast())
                .AddConsumers(handlers.Contains);
            if (roles.Contains(Role.Notifications))
            {
                millrace.AddJob<MailWorker, SendMail>(
                    NotificationNames.Mails, (worker, mail, context, cancellationToken) => worker.SendAsync(mail, context, cancellationToken));
            }

            if (roles.Contains(Role.Payments))
            {
                builder.Services.AddDatabase<PaymentsDb>(options.PaymentsDatabase);
                millrace
                    .AddInbox<PaymentsDb>()
                    .AddOutbox<PaymentsDb>(outbox => Configure(outbox, PaymentNames.Outbox, options));
            }

            if (roles.Contains(Role.Orders))
            {
                millrace.AddSaga(
                    new Checkout(options.Patience), [OrderNames.Stream, PaymentNames.Stream, InventoryNames.Stream], OrderNames.Group);
            }
        });
    }

    private static void UseOwnStore(MillraceBuilder millrace, ShopOptions options)
    {
        if (options.Redis is null)
            millrace.UseEmbedded(options.Data);
        else
            millrace.UseRedis(options.Redis);
    }

    private static void Configure(OutboxOptions outbox, string name, ShopOptions options)
    {
        outbox.Name = name;

        // Orders go on soon after a store that was away for long has come back.
        outbox.RetryMaxDelay = TimeSpan.FromSeconds(5);
        if (options.KillsWorkers)
        {
            // Whoever relayed is killed: another, which may not live for a second, goes on at once, also with rows that a handler
            // committed as it was cut off.
            outbox.Lease = TimeSpan.FromMilliseconds(200);
            outbox.PollInterval = TimeSpan.FromSeconds(1);
        }
    }

    /// <summary>What suits a shop; <c>Millrace__Consumers__payments__MaxAttempts=5</c> in the environment has the last word.</summary>
    private static Dictionary<string, string?> ConsumerDefaults(ShopOptions options)
    {
        var settings = new Dictionary<string, string?>();
        foreach (var group in Groups)
        {
            var path = $"Millrace:Consumers:{group}";
            settings[$"{path}:MaxAttempts"] = "4";
            settings[$"{path}:RetryBaseDelay"] = "00:00:00.050";
            settings[$"{path}:RetryMaxDelay"] = "00:00:05";
            settings[$"{path}:Lease"] = "00:00:10";
            if (options.KillsWorkers)
            {
                // Whoever is killed comes back or is replaced at once, and no message is to blame for the kills.
                settings[$"{path}:Lease"] = "00:00:02";
                settings[$"{path}:MaxDeliveries"] = "1000";
            }
        }

        // The provider, or the store that a history is read from, may be down for a while: about ten minutes pass before orders end in the dead letters.
        settings[$"Millrace:Consumers:{PaymentNames.Group}:MaxAttempts"] = "250";
        settings[$"Millrace:Consumers:{OrderNames.Group}:MaxAttempts"] = "250";
        return settings;
    }
}
