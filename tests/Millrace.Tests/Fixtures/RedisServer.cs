using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// A real redis-server of our own: on a free port of 127.0.0.1, in a temporary directory, ended and deleted with this object.
/// </summary>
public sealed class RedisServer : IAsyncDisposable
{
    private const int MaxStarts = 5;

    // Generous, because the whole suite and other builds may share two cores; a healthy start takes 50 ms.
    private static readonly TimeSpan StartDeadline = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-redis-").FullName;
    private readonly string[] _extraArguments;
    private readonly IReadOnlyDictionary<string, string> _variables;
    private Process? _process;

    private RedisServer(string[] extraArguments, IReadOnlyDictionary<string, string> variables) =>
        (_extraArguments, _variables) = (extraArguments, variables);

    /// <summary>Where the server listens, as <c>127.0.0.1:port</c>.</summary>
    public string Endpoint => $"127.0.0.1:{Port}";

    /// <summary>The port; the same after a restart.</summary>
    public int Port { get; private set; }

    /// <summary>
    /// Starts a server that keeps nothing on disk. Extra arguments come last and so override, as in <c>"--maxmemory", "20mb"</c>.
    /// </summary>
    public static Task<RedisServer> StartAsync(params string[] extraArguments) => StartAsync(new Dictionary<string, string>(), extraArguments);

    /// <summary>Starts a server with these variables in its environment besides our own.</summary>
    public static async Task<RedisServer> StartAsync(IReadOnlyDictionary<string, string> variables, params string[] extraArguments)
    {
        var server = new RedisServer(extraArguments, variables);
        try
        {
            for (var start = 1; ; start++)
            {
                server.Port = FindFreePort();
                var (isReady, log) = await server.StartProcessAsync();
                if (isReady)
                    return server;

                // Another process may have taken the port since we looked.
                if (start == MaxStarts || !log.Contains("Address already in use", StringComparison.Ordinal))
                    throw new InvalidOperationException($"redis-server did not start on port {server.Port}:\n{log}");
            }
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Kills the server without a goodbye; clients see their connections break.</summary>
    public async Task KillAsync()
    {
        if (_process is not { } process)
            return;

        _process = null;
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
    }

    /// <summary>Stops the process, which keeps its connections and answers nothing, until <see cref="Continue"/>.</summary>
    public void Stop() => Signal(OperatingSystem.IsMacOS() ? 17 : 19);

    /// <summary>Lets the process go on after <see cref="Stop"/>.</summary>
    public void Continue() => Signal(OperatingSystem.IsMacOS() ? 19 : 18);

    /// <summary>Starts the server again after <see cref="KillAsync"/>, on the same port and directory.</summary>
    public async Task StartAgainAsync()
    {
        var (isReady, log) = await StartProcessAsync();
        if (!isReady)
            throw new InvalidOperationException($"redis-server did not start again on port {Port}:\n{log}");
    }

    /// <summary>
    /// Runs redis-cli against the server and returns what it printed, without the last line break; an error reply throws.
    /// </summary>
    public async Task<string> CliAsync(params string[] arguments)
    {
        string[] where = ["-e", "-h", "127.0.0.1", "-p", Port.ToString(CultureInfo.InvariantCulture)];
        using var cli = Launch("redis-cli", new Dictionary<string, string>(), [.. where, .. arguments]);
        cli.StandardInput.Close();
        var output = cli.StandardOutput.ReadToEndAsync();
        var errors = cli.StandardError.ReadToEndAsync();
        await cli.WaitForExitAsync();
        return cli.ExitCode == 0
            ? (await output).TrimEnd('\n')
            : throw new InvalidOperationException($"redis-cli {string.Join(' ', arguments)} failed:\n{await output}{await errors}");
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Directory.Delete(_directory, recursive: true);
    }

    // The server's own log says when it is ready, so that nobody has to poll the port, where another process might answer.
    private async Task<(bool IsReady, string Log)> StartProcessAsync()
    {
        var process = Launch("redis-server", _variables,
        [
            "--port", Port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", _directory, "--daemonize", "no",
            "--logfile", "", "--save", "", "--appendonly", "no", .. _extraArguments,
        ]);
        var log = new ConcurrentQueue<string>();
        var ready = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Read(object sender, DataReceivedEventArgs line)
        {
            // The end of the output is the end of the process.
            if (line.Data is null)
                ready.TrySetResult(false);
            else if (!ready.Task.IsCompleted)
                log.Enqueue(line.Data);

            if (line.Data?.Contains("Ready to accept connections", StringComparison.Ordinal) is true)
                ready.TrySetResult(true);
        }

        process.OutputDataReceived += Read;
        process.ErrorDataReceived += (_, line) => log.Enqueue(line.Data ?? "");
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        try
        {
            if (await ready.Task.WaitAsync(StartDeadline))
                return (true, "");
        }
        catch (TimeoutException)
        {
            log.Enqueue($"Not ready after {StartDeadline}.");
        }

        await KillAsync();
        return (false, string.Join('\n', log));
    }

    // Through the system, since .NET sends no signal but SIGKILL.
    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int Kill(int pid, int signal);

    private void Signal(int number)
    {
        if (Kill(_process!.Id, number) != 0)
            throw new Win32Exception();
    }

    private static Process Launch(string program, IReadOnlyDictionary<string, string> variables, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in variables)
            start.Environment[name] = value;
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception exception)
        {
            throw new InvalidOperationException(
                $"These tests run against a real Redis, and {program} cannot be started. Install it: apt-get install redis-server",
                exception);
        }
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FindFreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
