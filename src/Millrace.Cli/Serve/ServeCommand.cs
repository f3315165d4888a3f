using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Millrace.Embedded;
using Millrace.Server;

namespace Millrace.Cli.Serve;

/// <summary><c>millrace serve</c>: its options, and what they mean to the store and the server.</summary>
internal static class ServeCommand
{
    private static readonly Option<int> Port = new("--port")
    {
        Description = "The TCP port; 0 picks a free one.",
        HelpName = "N",
        DefaultValueFactory = _ => 6379,
        CustomParser = result => Whole(result, 0, 65_535),
    };

    private static readonly Option<IPAddress> Bind = new("--bind")
    {
        Description = "The address to listen on.",
        HelpName = "ADDR",
        DefaultValueFactory = _ => IPAddress.Loopback,
        CustomParser = ParseAddress,
    };

    private static readonly Option<string> Data = new("--data")
    {
        Description = "The directory that keeps the streams, made when it is missing.",
        HelpName = "DIR",
    };

    private static readonly Option<bool> Memory = new("--memory") { Description = "Keep everything in memory; it is gone at the end." };

    private static readonly Option<SyncPolicy?> Fsync = new("--fsync")
    {
        Description = "When writes are synced to the device: always (before the reply), everysec (the default) or no (when the system likes).",
        HelpName = "always|everysec|no",
        CustomParser = ParsePolicy,
    };

    private static readonly Option<string> Password = new("--password")
    {
        Description = "What clients must say with AUTH. This or --users is needed to listen beyond loopback.",
        HelpName = "P",
    };

    private static readonly Option<string> Users = new("--users")
    {
        Description = "A file of users and their rights, in lines as ACL LIST writes them. --password counts for its default user.",
        HelpName = "FILE",
    };

    private static readonly Option<long> MaxMemory = new("--maxmemory")
    {
        Description = "Bytes the keys may take, with a unit if wanted (512mb, 2gb); above, commands that need more are refused. 0: no limit.",
        HelpName = "N",
        CustomParser = ParseBytes,
    };

    private static readonly Option<int> MaxClients = new("--max-clients")
    {
        Description = "Connections at a time; one more is told so and closed.",
        HelpName = "N",
        DefaultValueFactory = _ => 10_000,
        CustomParser = result => Whole(result, 1, 1_000_000),
    };

    private static readonly Option<string> TlsCertificate = new("--tls-cert") { Description = "A PEM certificate, to speak TLS.", HelpName = "FILE" };

    private static readonly Option<string> TlsKey = new("--tls-key") { Description = "The private key of --tls-cert, as PEM.", HelpName = "FILE" };

    public static Command Create()
    {
        var command = new Command("serve", "Serve streams to Redis clients.")
        {
            Port, Bind, Data, Memory, Fsync, Password, Users, MaxMemory, MaxClients, TlsCertificate, TlsKey,
        };
        // On an option that always has a value, and a right one: errors of the command would keep those of its options from being found.
        Memory.Validators.Add(static memory => CheckTogether((CommandResult)memory.Parent!));
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult options, CancellationToken cancellationToken)
    {
        var storeOptions = new EmbeddedStoreOptions
        {
            Directory = options.GetValue(Data),
            Sync = options.GetValue(Fsync) ?? SyncPolicy.EverySecond,
            MaxMemoryBytes = options.GetValue(MaxMemory),
        };
        var serverOptions = new RespServerOptions
        {
            Port = options.GetValue(Port),
            Address = options.GetValue(Bind)!,
            Password = options.GetValue(Password),
            UsersFile = options.GetValue(Users),
            MaxClients = options.GetValue(MaxClients),
        };
        if (serverOptions.Password is null && serverOptions.UsersFile is null && !IPAddress.IsLoopback(serverOptions.Address))
        {
            await Console.Error.WriteLineAsync($"--bind {serverOptions.Address} can be reached from elsewhere: that needs --password or --users.");
            return 2;
        }

        if (options.GetValue(TlsCertificate) is { } certificate)
        {
            try
            {
                serverOptions.Certificate = X509Certificate2.CreateFromPemFile(certificate, options.GetValue(TlsKey));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
            {
                await Console.Error.WriteLineAsync($"--tls-cert '{certificate}' cannot be used: {e.Message}");
                return 2;
            }
        }

        return await ServeProcess.RunAsync(storeOptions, serverOptions);
    }

    /// <summary>What one option alone cannot tell.</summary>
    private static void CheckTogether(CommandResult command)
    {
        var isData = command.GetResult(Data) is not null;
        var isMemory = command.GetResult(Memory) is { Implicit: false };
        if (isData == isMemory)
            command.AddError(isData ? "Give --data DIR or --memory, not both." : "Give --data DIR to keep the streams, or --memory.");
        if (isMemory && command.GetResult(Fsync) is not null)
            command.AddError("--fsync needs --data DIR: what is in memory is never synced.");
        if ((command.GetResult(TlsCertificate) is null) != (command.GetResult(TlsKey) is null))
            command.AddError("--tls-cert and --tls-key need each other.");
    }

    private static int Whole(ArgumentResult result, int least, int most)
    {
        var text = result.Tokens[^1].Value;
        if (int.TryParse(text, out var value) && value >= least && value <= most)
            return value;
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} takes a number from {least} to {most}, not '{text}'.");
        return least;
    }

    private static long ParseBytes(ArgumentResult result)
    {
        var text = result.Tokens[^1].Value;
        if (!RespServerOptions.TryParseBytes(text, out var bytes))
            result.AddError($"--maxmemory takes bytes, as in 1048576, 512mb or 2gb, not '{text}'.");
        return bytes;
    }

    private static IPAddress? ParseAddress(ArgumentResult result)
    {
        var text = result.Tokens[^1].Value;
        if (text == "localhost")
            return IPAddress.Loopback;
        if (IPAddress.TryParse(text, out var address))
            return address;
        result.AddError($"--bind takes an IP address, not '{text}'.");
        return null;
    }

    private static SyncPolicy? ParsePolicy(ArgumentResult result)
    {
        var text = result.Tokens[^1].Value;
        switch (text)
        {
            case "always": return SyncPolicy.Always;
            case "everysec": return SyncPolicy.EverySecond;
            case "no": return SyncPolicy.Never;
        }

        result.AddError($"--fsync takes always, everysec or no, not '{text}'.");
        return null;
    }
}
