using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;

namespace Millrace.Tests.Clients;

/// <summary>A program that talks to a server: its input, its lines, its end.</summary>
internal sealed class Tool : IAsyncDisposable
{
    // Generous, because other tests and builds may share two cores.
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _output = new();
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();

    private Tool(Process process) => _process = process;

    /// <summary>Everything printed so far, both outputs together.</summary>
    public string Output => string.Join('\n', _output);

    public static Tool Start(string program, params string[] arguments) => StartIn(Environment.CurrentDirectory, program, arguments);

    public static Tool StartIn(string directory, string program, params string[] arguments)
    {
        var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var tool = new Tool(process);
        process.OutputDataReceived += (_, line) => tool.OnLine(line.Data);
        process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is not null)
                tool._output.Enqueue(line.Data);
        };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return tool;
    }

    /// <summary>Runs a program to its end with this input; it must succeed. Returns what it printed on both outputs.</summary>
    public static Task<string> RunAsync(string input, string program, params string[] arguments) => RunAsync(0, input, program, arguments);

    /// <summary>Runs a program to its end, which must have this exit code.</summary>
    public static async Task<string> RunAsync(int exitCode, string input, string program, params string[] arguments)
    {
        await using var tool = Start(program, arguments);
        await tool._process.StandardInput.WriteAsync(input);
        tool._process.StandardInput.Close();
        var actual = await tool.WaitForExitAsync();
        Assert.True(actual == exitCode, $"{program} {string.Join(' ', arguments)} ended with {actual}\n{tool.Output}");
        return tool.Output;
    }

    /// <summary>Waits for a line of standard output.</summary>
    public async Task<string> WaitForLineAsync(string part)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            await foreach (var line in _lines.Reader.ReadAllAsync(deadline.Token))
            {
                if (line.Contains(part, StringComparison.Ordinal))
                    return line;
            }
        }
        catch (OperationCanceledException)
        {
            throw new InvalidOperationException($"No '{part}' within {Deadline}:\n{Output}");
        }

        throw new InvalidOperationException($"The program ended before it printed '{part}':\n{Output}");
    }

    public async Task WriteLineAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    public async Task<int> WaitForExitAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            throw new InvalidOperationException($"Not ended within {Deadline}:\n{Output}");
        }

        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private void OnLine(string? line)
    {
        if (line is null)
        {
            _lines.Writer.TryComplete();
            return;
        }

        _output.Enqueue(line);
        _lines.Writer.TryWrite(line);
    }
}
