using System.Globalization;
using Millrace.Embedded.Storage;
using Millrace.Server.Commands;
using Millrace.Streams.Names;

namespace Millrace.Server.Users;

/// <summary>A file of users: lines as <c>ACL LIST</c> writes them, and blank ones.</summary>
internal static class UsersFile
{
    /// <summary>Far beyond any list of users; what is longer is another file, given by mistake.</summary>
    private const int MaxBytes = 16 * 1024 * 1024;

    /// <summary>Reads the users.</summary>
    /// <exception cref="InvalidDataException">A line is wrong. The message has the file, the line and why for each, as Redis words it.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static List<User> Read(string path, CommandTable table)
    {
        var users = new List<User>();
        var problems = new List<string>();
        if (new FileInfo(path).Length > MaxBytes)
            throw new InvalidDataException($"{path} is longer than {MaxBytes} bytes.");
        var lines = KeyText.Decode(File.ReadAllBytes(path)).Split('\n');
        for (var i = 0; i < lines.Length; i++)
        {
            var line = lines[i].Trim(" \t\r").ToString();
            if (line.Length > 0 && ReadLine(line, users, table) is { } problem)
                problems.Add(string.Create(CultureInfo.InvariantCulture, $"{path}:{i + 1}{problem}"));
        }

        return problems.Count == 0 ? users : throw new InvalidDataException(string.Join(' ', problems));
    }

    /// <summary>Replaces the file, so that it is the old one or the new one whatever happens, and durable at the return.</summary>
    /// <exception cref="IOException">The file cannot be written; the old one is still there.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    public static void Write(string path, IEnumerable<User> users)
    {
        path = Path.GetFullPath(path);
        var temporary = string.Create(CultureInfo.InvariantCulture, $"{path}.{Environment.ProcessId}.tmp");
        try
        {
            WriteNew(temporary, KeyText.Encode(string.Concat(users.Select(static user => $"{user}\n"))), MayRead(path));
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }

        DurableFile.SyncDirectory(Path.GetDirectoryName(path)!);
    }

    private static void WriteNew(string path, byte[] bytes, UnixFileMode mode)
    {
        using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(file, mode);
        RandomAccess.Write(file, bytes, 0);
        DurableFile.Sync(file);
    }

    /// <summary>Who may read the new file: who may read the old one, else its owner alone.</summary>
    private static UnixFileMode MayRead(string path) => !OperatingSystem.IsWindows() && File.Exists(path)
        ? File.GetUnixFileMode(path)
        : UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Adds the user of a line.</summary>
    /// <returns>What is wrong with it, to stand behind the number of the line, or null.</returns>
    private static string? ReadLine(string line, List<User> users, CommandTable table)
    {
        var words = line.Split(' ');
        if (words is not ["user", { Length: > 0 } name, .. var rest])
            return " should start with user keyword followed by the username.";
        if (RuleErrors.HasBlank(name))
            return $": username '{name}' contains invalid characters.";
        if (users.Exists(user => user.Name == name))
            return $": duplicate user '{name}'.";
        if (!UserRules.TryJoin(rest.Select(static word => word.Trim("\t\r").ToString()), out var rules, out _))
            return ": Unmatched parenthesis in selector definition.";
        var user = new User(name, table);
        foreach (var rule in rules)
        {
            // Only a command or category is quoted: other rules can be passwords.
            if (user.Apply(rule) is { } error)
                return error == RuleErrors.UnknownCommand ? $": Error in applying operation '{rule}': {error}." : $": {error}.";
        }

        users.Add(user);
        return null;
    }
}
