namespace Millrace.Server.Commands;

/// <summary>What a command does with the value of a key, which a key pattern of the ACL must allow.</summary>
[Flags]
internal enum KeyRights
{
    /// <summary>Neither: it only asks whether the key is there, or what type or length it has. Any pattern allows that.</summary>
    None = 0,

    Read = 1,
    Write = 2,
    ReadWrite = Read | Write,
}

/// <summary>What a command does with the key at an argument, where its keys or its options differ in that.</summary>
internal delegate KeyRights KeyRightsFinder(in CommandCall call, int index);

/// <summary>Which arguments of a command are channels, which the ACL must allow.</summary>
internal enum ChannelArguments
{
    None,

    /// <summary>The first argument.</summary>
    First,

    /// <summary>All arguments.</summary>
    All,

    /// <summary>All arguments, each a pattern of channels. Only the very same pattern allows it.</summary>
    AllPatterns,
}
