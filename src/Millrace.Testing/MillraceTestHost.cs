using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>
/// An application with its handlers, for tests: real in everything but that its store is in memory and its clock is moved by the test.
/// Publish, wait until nothing is in flight, look at what happened.
/// </summary>
/// <remarks>
/// Nothing sleeps and nothing is guessed: <see cref="WhenIdleAsync"/> ends when the store says that no group has anything unread or
/// unsettled, and <see cref="AdvanceAsync"/> goes from one due moment to the next. Retries, delays, leases, time limits and recurring messages
/// take no real time. For one test; not for concurrent use, but handlers may run at once.
/// </remarks>
public sealed partial class MillraceTestHost : IAsyncDisposable
{
    private readonly Action<MillraceBuilder> _configure;
    private readonly Action<IServiceCollection>? _configureServices;
    private readonly Changes _changes = new();
    private readonly EmbeddedStreamStore _store;
    private readonly WatchedStore _watched;
    private readonly HandlerWatch _handlers;
    private IHost? _host;

    /// <summary>Whether <see cref="_host"/> has started and was not stopped.</summary>
    private bool _isRunning;

    private MillraceTestHost(Action<MillraceBuilder> configure, Action<IServiceCollection>? configureServices, TestHostOptions options)
    {
        (_configure, _configureServices, Options) = (configure, configureServices, options);
        Time = new(options.Start);
        _store = new(new(), Time);
        _watched = new(_store, _changes, Time);
        _handlers = new(_changes, Time);
    }

    /// <summary>Starts an application.</summary>
    /// <param name="configure">
    /// Its registrations: <c>m => m.AddConsumers()</c>. A store they choose is passed over for one in memory.
    /// </param>
    /// <param name="services">What its handlers need; an <c>AddMillrace</c> in there counts as well. Default: nothing.</param>
    /// <param name="options">How the host runs. Default: as <see cref="TestHostOptions"/> says.</param>
    /// <returns>The host; the one who gets it disposes it.</returns>
    /// <exception cref="MillraceConfigurationException">The registrations or options are wrong.</exception>
    public static async Task<MillraceTestHost> StartAsync(
        Action<MillraceBuilder> configure, Action<IServiceCollection>? services = null, TestHostOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(configure);
        var host = new MillraceTestHost(configure, services, options ?? new());
        try
        {
            await host.StartAsync().ConfigureAwait(false);
            return host;
        }
        catch
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>How the host runs; changes count from now on, or from the next restart.</summary>
    public TestHostOptions Options { get; }

    /// <summary>The clock of the application and of its store.</summary>
    public VirtualTimeProvider Time { get; }

    /// <summary>The services of the application.</summary>
    /// <exception cref="InvalidOperationException">It was killed or stopped, and not started again.</exception>
    public IServiceProvider Services => (_host ?? throw new InvalidOperationException("The application does not run; restart it.")).Services;

    /// <summary>The store, which outlives restarts and kills of the application.</summary>
    public IStreamStore Store => _watched;

    /// <summary>Publishes as the application does, see <see cref="Publisher.PublishAsync"/>.</summary>
    /// <typeparam name="T">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="message">The message.</param>
    /// <param name="options">More about the message. Default: nothing.</param>
    /// <returns>The ID of its entry; <see cref="EntryId.Zero"/> when it was scheduled.</returns>
    public ValueTask<EntryId> PublishAsync<T>(string stream, T message, PublishOptions? options = null) =>
        Services.GetRequiredService<Publisher>().PublishAsync(stream, message, options);

    /// <summary>Publishes messages in order, see <see cref="Publisher.PublishManyAsync"/>.</summary>
    /// <typeparam name="T">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="messages">The messages.</param>
    /// <returns>The IDs of their entries.</returns>
    public ValueTask<IReadOnlyList<EntryId>> PublishManyAsync<T>(string stream, IReadOnlyList<T> messages) =>
        Services.GetRequiredService<Publisher>().PublishManyAsync(stream, messages);

    /// <summary>Puts state documents into the store in one commit: what was there before the test.</summary>
    /// <param name="stream">The stream of the documents that are named without one.</param>
    /// <param name="put">Puts them.</param>
    public async Task PutStateAsync(string stream, Action<StateSession> put)
    {
        ArgumentNullException.ThrowIfNull(put);
        var commit = Services.GetRequiredService<Publisher>().NewCommit(stream);
        put(commit.State);
        await commit.CommitAsync().ConfigureAwait(false);
    }

    /// <summary>Reads a state document as it is now.</summary>
    /// <typeparam name="T">What it holds.</typeparam>
    /// <param name="stream">Its stream.</param>
    /// <param name="name">Its name.</param>
    /// <returns>The document, or the default of <typeparamref name="T"/>: there is none.</returns>
    public ValueTask<T?> GetStateAsync<T>(string stream, string name) =>
        Services.GetRequiredService<Publisher>().NewCommit(stream).State.GetAsync<T>(name);

    /// <summary>
    /// Lets running handlers end, stops the application as an orderly shutdown does, and starts it anew on the same store.
    /// </summary>
    /// <exception cref="TimeoutException">A handler did not end within the deadline.</exception>
    public async Task RestartAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await StartAsync().ConfigureAwait(false);
    }

    /// <summary>Stops the application as an orderly shutdown does: nothing new is read, running handlers end, the rest is handed back.</summary>
    /// <exception cref="TimeoutException">
    /// A handler did not end within the deadline. One that waits for the clock needs it moved meanwhile, see <see cref="Time"/>.
    /// </exception>
    public async Task StopAsync()
    {
        if (!_isRunning)
            return;
        try
        {
            await _host!.StopAsync().WaitAsync(Options.Deadline, TimeProvider.System).ConfigureAwait(false);
        }
        catch (TimeoutException exception)
        {
            var handlers = string.Join(", ", _handlers.Running.Select(static run => $"{run.Message} in group '{run.Group}'"));
            throw new TimeoutException($"The application did not stop within {Options.Deadline}. Handlers that run: {handlers}.", exception);
        }

        Leave();
    }

    /// <summary>
    /// Ends the application as <c>kill -9</c> would: handlers are cancelled, nothing is settled, nothing handed back. Its entries are still
    /// delivered to it in the store, and <see cref="RestartAsync"/> brings it back under the same name.
    /// </summary>
    /// <remarks>A handler that does not heed its token is left behind, for which the clock goes on by two seconds.</remarks>
    public async Task KillAsync()
    {
        if (!_isRunning)
            return;
        var stopping = _host!.StopAsync(new CancellationToken(canceled: true));
        for (var i = 0; i < MaxGrace; i++)
        {
            await stopping.WaitAsync(Grace, TimeProvider.System).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stopping.IsCompleted)
                break;
            Time.Advance(TimeSpan.FromSeconds(1));
        }

        await stopping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Ended by a token that was cancelled from the start.
        Leave();
    }

    /// <summary>Kills the application, if it runs, and forgets the store.</summary>
    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        _host?.Dispose();
        await _store.DisposeAsync().ConfigureAwait(false);
    }

    // What a cancelled handler gets by the real clock to notice, before the worker is told by the virtual one that it waited long enough.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);
    private const int MaxGrace = 30;

    private async Task StartAsync()
    {
        _host?.Dispose();
        var builder = Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "test" });
        builder.Configuration.AddInMemoryCollection(Options.Configuration);
        _configureServices?.Invoke(builder.Services);
        builder.Services.AddMillrace(millrace =>
        {
            // It shares its process with whoever runs the tests.
            millrace.Configure(static options => options.ExitOnSecondSignal = false);
            _configure(millrace);
        });
        builder.Services.RemoveAll<IStreamStore>().AddSingleton<IStreamStore>(_watched);
        builder.Services.RemoveAll<TimeProvider>().AddSingleton<TimeProvider>(Time);
        _host = builder.Build();
        var model = _host.Services.GetRequiredService<MillraceModel>();
        (model.HasStore, model.StoreInstanceName, model.RunsConsumers) = (true, "local", Options.RunConsumers);
        if (Options.Only is { } isWanted)
        {
            model.Consumers.RemoveAll(consumer => !isWanted(consumer));
            model.Recurring.Clear();
        }

        _handlers.Watch(model);
        await _host.StartAsync().ConfigureAwait(false);
        _isRunning = true;
    }

    private void Leave()
    {
        _isRunning = false;
        _handlers.Forget();
    }
}
