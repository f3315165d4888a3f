using System.Security.Cryptography;
using System.Text;
using Millrace.Redis.Connections;

namespace Millrace.Redis.Scripts;

/// <summary>
/// A Lua script of ours. Redis keeps scripts by the SHA-1 of their text, so two versions of an application can share a server. Every
/// connection loads them before anything else is written on it; see <see cref="Load"/>.
/// </summary>
/// <remarks>
/// Our own server has no Lua. There each script but <see cref="Promote"/>, which has nothing to do there, is a command of the same arguments
/// and the same answer: <c>EVALSHA hash 1 key …</c> becomes <c>MILLRACE.CLAIM 1 key …</c>.
/// </remarks>
internal sealed class LuaScript
{
    private readonly string _hash;
    private readonly string _ownCommand;

    /// <param name="name">The script.</param>
    /// <param name="parts">Files it needs in front of it.</param>
    private LuaScript(string name, params ReadOnlySpan<string> parts)
    {
        Name = name;
        Text = Resource(name);
        _ownCommand = $"MILLRACE.{name.Replace("_", "", StringComparison.Ordinal).ToUpperInvariant()}";
        for (var i = parts.Length - 1; i >= 0; i--)
            Text = Resource(parts[i]) + Text;
#pragma warning disable CA5350 // SHA-1 is the name Redis gives a script, not a protection.
        _hash = Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(Text)));
#pragma warning restore CA5350
    }

    public static LuaScript Commit { get; } = new("commit", "entry_ids", "commit_arguments", "commit_checks");

    public static LuaScript Claim { get; } = new("claim", "rights");

    public static LuaScript Extend { get; } = new("extend", "rights");

    public static LuaScript AckAndDelete { get; } = new("ack_and_delete", "rights");

    public static LuaScript OnStream { get; } = new("on_stream", "rights");

    public static LuaScript DeleteStream { get; } = new("delete_stream", "rights");

    public static LuaScript Schedule { get; } = new("schedule", "rights");

    public static LuaScript Promote { get; } = new("promote", "rights");

    public static IReadOnlyList<LuaScript> All { get; } = [Commit, Claim, Extend, AckAndDelete, OnStream, DeleteStream, Schedule, Promote];

    /// <summary>The file's name without extension, for messages.</summary>
    public string Name { get; }

    public string Text { get; }

    /// <summary>The command that makes the script known to the server.</summary>
    public RespCommand Load() => new RespCommand("SCRIPT", Text.Length + 64).Add("LOAD"u8).Add(Text);

    /// <summary>Starts a call; the script's arguments are to be added.</summary>
    /// <param name="keys">Every key the script touches.</param>
    public RespCommand Call(params ReadOnlySpan<string> keys) => Call(keys, new RespBuffer(new byte[128]));

    /// <summary>Starts a call behind what is in a buffer; the script's arguments are to be added.</summary>
    /// <param name="keys">Every key the script touches.</param>
    /// <param name="buffer">Kept by the caller until the command was sent for the last time.</param>
    public RespCommand Call(ReadOnlySpan<string> keys, RespBuffer buffer)
    {
        var command = RespCommand.OfScript(_hash, _ownCommand, buffer).Add(keys.Length);
        foreach (var key in keys)
            command.Add(key);
        return command;
    }

    private static string Resource(string name)
    {
        using var stream = typeof(LuaScript).Assembly.GetManifestResourceStream($"{name}.lua")
            ?? throw new InvalidOperationException($"The script {name}.lua is not part of the assembly.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
