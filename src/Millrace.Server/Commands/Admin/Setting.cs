using System.Globalization;
using System.Text;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Admin;

/// <summary>Makes a value the setting's own, at a moment in Unix milliseconds. Cannot fail: the value was checked.</summary>
internal delegate void ApplySetting(RespServer server, long nowMs);

/// <summary>A setting that <c>CONFIG</c> shows and perhaps changes. Bounds and errors are Redis's.</summary>
/// <param name="Name">In lower case.</param>
/// <param name="Show">Its value now.</param>
internal sealed record Setting(string Name, Func<RespServer, string> Show)
{
    /// <summary>Checks a value: gives what is wrong with it, or what makes it so. Null: it cannot be changed while the server runs.</summary>
    public Func<string, (string? Error, ApplySetting? Apply)>? Check { get; init; }

    /// <summary>Whether a change of it is journaled, so that a client sees it only when the journal has it.</summary>
    public bool IsJournaled { get; private init; }

    public static Setting Fixed(string name, string value) => new(name, _ => value);

    /// <summary>A whole number.</summary>
    public static Setting Number(string name, long least, long most, Func<RespServer, long> show, Action<RespServer, long> change) =>
        new(name, server => Text(show(server)))
        {
            Check = text => Numbers.TryParseInt64(Encoding.UTF8.GetBytes(text), out var value)
                ? CheckBounds(value, least, most, (server, _) => change(server, value))
                : ("argument couldn't be parsed into an integer", null),
        };

    /// <summary>A number of bytes, which may have a unit: <c>4kb</c>, <c>1G</c>.</summary>
    public static Setting Bytes(string name, long least, long most, Func<RespServer, long> show, Action<RespServer, long> change) =>
        new(name, server => Text(show(server)))
        {
            Check = text => RespServerOptions.TryParseBytes(text, out var value)
                ? CheckBounds(value, least, most, (server, _) => change(server, value))
                : ("argument must be a memory value", null),
        };

    /// <summary>A setting that changes what mutations do, and so is journaled.</summary>
    public static Setting OfEngine(string name, EngineOption option, long least, long most, Func<EngineOptions, long> show) =>
        new(name, server => Text(show(server.Store.EngineNeedsLock.Options)))
        {
            IsJournaled = true,
            Check = text => Numbers.TryParseInt64(Encoding.UTF8.GetBytes(text), out var value)
                ? CheckBounds(
                    value, least, most, (server, nowMs) => server.Store.ApplyNeedsLock<SetOption, bool>(new SetOption(option, value), nowMs))
                : ("argument couldn't be parsed into an integer", null),
        };

    public static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static (string? Error, ApplySetting? Apply) CheckBounds(long value, long least, long most, ApplySetting apply) =>
        value >= least && value <= most ? (null, apply) : ($"argument must be between {least} and {most} inclusive", null);
}
