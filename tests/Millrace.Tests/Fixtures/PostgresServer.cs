using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Millrace.Tests.Chaos;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// A real PostgreSQL of our own: on a free port of 127.0.0.1, in a temporary directory, ended and deleted with this object. It refuses to run as root,
/// who therefore starts it as the user <c>postgres</c>.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    // The port may be taken between our look and the start; after a kill, the memory of the old processes for a moment.
    private const int MaxStarts = 40;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    // Generous, because the whole suite and other builds may share two cores; a healthy start takes 100 ms, and the making of a cluster 1 s.
    private static readonly TimeSpan StartDeadline = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-postgres-").FullName;
    private Process? _process;
    private int _databases;

    private PostgresServer()
    {
    }

    /// <summary>The port; the same after a restart.</summary>
    public int Port { get; private set; }

    private string Data => Path.Combine(_directory, "data");

    private static bool IsRoot => Environment.UserName == "root";

    /// <summary>Makes a cluster and starts its server. It does not sync to the disk: killed processes lose nothing by that.</summary>
    public static async Task<PostgresServer> StartAsync()
    {
        var server = new PostgresServer();
        try
        {
            if (IsRoot)
                await RunAsync("chown", "postgres", server._directory);
            await RunAsync("initdb", "-D", server.Data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync");
            server.Port = FindFreePort();
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>How to connect to a database that exists.</summary>
    public string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={Port};Username=postgres;Database={database};Timeout=30;Command Timeout=60;Include Error Detail=true";

    /// <summary>Makes an empty database, and says how to connect to it.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = $"test_{Interlocked.Increment(ref _databases)}";
        // Not from the pool, where connections may be that died with the server.
        var connection = new Npgsql.NpgsqlConnection($"{ConnectionString("postgres")};Pooling=false");
        await using (connection)
        {
            await connection.OpenAsync();
            await using var command = connection.CreateCommand();
            command.CommandText = $"CREATE DATABASE {name} TEMPLATE template0";
            await command.ExecuteNonQueryAsync();
        }

        return ConnectionString(name);
    }

    /// <summary>
    /// Kills the postmaster and all its processes with SIGKILL, at one moment: a commit under way is not finished by a process that was spared. On
    /// systems without <c>/proc</c> the postmaster only, whose orphans end by themselves.
    /// </summary>
    public void Kill()
    {
        if (_process is not { } process)
            return;

        _process = null;

        // While it is stopped it starts no more, and the numbers of those that end are not given to others.
        Signals.Stop(process);
        foreach (var child in ChildrenOf(process.Id))
            Signals.Kill(child);
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }

    private static IEnumerable<int> ChildrenOf(int process)
    {
        var file = string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/task/{process}/children");
        return File.Exists(file)
            ? File.ReadAllText(file).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(static id => int.Parse(id, CultureInfo.InvariantCulture))
            : [];
    }

    /// <summary>Starts the server after <see cref="Kill"/>, on the same port and data, which it recovers.</summary>
    public async Task StartAgainAsync()
    {
        using var pause = new PeriodicTimer(Pause);
        for (var start = 1; ; start++)
        {
            var (isReady, log) = await StartProcessAsync();
            if (isReady)
                return;
            if (start == MaxStarts)
                throw new InvalidOperationException($"postgres did not start on port {Port}:\n{log}");
            await pause.WaitForNextTickAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        Kill();
        using var pause = new PeriodicTimer(Pause);
        for (var tries = 1; Directory.Exists(_directory); tries++)
        {
            try
            {
                Directory.Delete(_directory, recursive: true);
            }
            catch (IOException) when (tries < MaxStarts)
            {
                // An orphan is still writing on its way out.
                await pause.WaitForNextTickAsync();
            }
        }
    }

    // The server's own log says when it is ready, so that nobody has to poll the port, where another process might answer.
    private async Task<(bool IsReady, string Log)> StartProcessAsync()
    {
        var process = Launch(
            "postgres", "-D", Data, "-p", Port.ToString(CultureInfo.InvariantCulture), "-h", "127.0.0.1", "-k", "", "-F", "-c", "max_connections=200");
        var log = new ConcurrentQueue<string>();
        var ready = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Read(object sender, DataReceivedEventArgs line)
        {
            // The end of the output is the end of the process.
            if (line.Data is null)
                ready.TrySetResult(false);
            else if (!ready.Task.IsCompleted)
                log.Enqueue(line.Data);

            if (line.Data?.Contains("ready to accept connections", StringComparison.Ordinal) is true)
                ready.TrySetResult(true);
        }

        process.ErrorDataReceived += Read;
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
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

        Kill();
        return (false, string.Join('\n', log));
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Launch(program, arguments);
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} failed:\n{await output}{await errors}");
    }

    // By setpriv, which becomes the program: so its process ID is that of the postmaster, which a shell's would not be.
    private static Process Launch(string program, params string[] arguments)
    {
        var file = Find(program);
        string[] all = IsRoot && program != "chown"
            ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", file, .. arguments]
            : [file, .. arguments];
        var start = new ProcessStartInfo(all[0], all[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception exception)
        {
            throw new InvalidOperationException(
                $"These tests run against a real PostgreSQL, and {file} cannot be started. Install it: apt-get install postgresql", exception);
        }
    }

    /// <summary>Debian keeps the programs of each version in a folder of its own, off the path.</summary>
    private static string Find(string program)
    {
        const string versions = "/usr/lib/postgresql";
        return !Directory.Exists(versions)
            ? program
            : Directory.GetDirectories(versions).OrderByDescending(static folder => Path.GetFileName(folder).PadLeft(4))
                .Select(folder => Path.Combine(folder, "bin", program)).FirstOrDefault(File.Exists) ?? program;
    }

    private static int FindFreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
