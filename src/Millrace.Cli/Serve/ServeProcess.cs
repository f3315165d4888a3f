using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Server;
using Millrace.Streams;

namespace Millrace.Cli.Serve;

/// <summary>The life of a serving process: start, say so, wait for the signal or for SHUTDOWN, close the store.</summary>
internal static class ServeProcess
{
    /// <summary>Makes the runtime run what waits for a socket on the thread that polls it, which saves a hop per request.</summary>
    private const string InlineCompletions = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <returns>
    /// The exit code: 0 after a signal or SHUTDOWN, 1 when it could not start or not keep everything, 2 when the file of users is no good.
    /// </returns>
    public static async Task<int> RunAsync(EmbeddedStoreOptions storeOptions, RespServerOptions serverOptions)
    {
        // The runtime reads it with the first socket.
        if (Environment.GetEnvironmentVariable(InlineCompletions) is null)
            Environment.SetEnvironmentVariable(InlineCompletions, "1");

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);

        // The standard output has the line that says where it listens, and nothing else.
        using var loggers = LoggerFactory.Create(static logging => logging
            .SetMinimumLevel(LogLevel.Warning)
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None) // Says at length that the start failed, which we say in a line.
            .AddSimpleConsole(static console => console.SingleLine = true)
            .AddConsole(static console => console.LogToStandardErrorThreshold = LogLevel.Trace));
        await using var store = new EmbeddedStreamStore(storeOptions, logger: loggers.CreateLogger<EmbeddedStreamStore>());
        RespServer made;
        try
        {
            made = new RespServer(store, serverOptions, loggers);
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"--users: {e.Message}");
            return 2;
        }

        await using var server = made;
        try
        {
            await server.StartAsync();
        }
        catch (Exception e) when (e is StreamException or IOException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }

        Console.WriteLine($"Listening on {server.Endpoint}");
        await Task.WhenAny(stop.Task, server.ShutdownRequested);
        await server.StopAsync();
        return await CloseAsync(store);

        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.TrySetResult();
        }
    }

    /// <summary>Writes and syncs what is left. A disk that failed on the way has been logged; who started us sees it in the exit code as well.</summary>
    private static async Task<int> CloseAsync(EmbeddedStreamStore store)
    {
        try
        {
            await store.DisposeAsync();
        }
        catch (StreamException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
        }

        return store.Health.State is StoreState.DiskFull or StoreState.DiskFailed ? 1 : 0;
    }
}
